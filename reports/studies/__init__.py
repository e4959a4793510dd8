"""Reports on studies that published papers can be held against, and on searches."""
