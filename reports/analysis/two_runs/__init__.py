"""Two runs side by side: what lies how far apart, and what keeps their series apart."""
