"""Tell what this board is and which interpreters it has; build virtual environments."""
