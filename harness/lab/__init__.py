"""Look after a lab's boards: survey them, examine them, set them up."""
