"""The engine `torch`: what practitioners run."""
