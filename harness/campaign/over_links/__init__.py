"""What follows a repetition over its board's link and over shaped ones, outside of its window."""
