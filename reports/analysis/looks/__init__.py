"""Looks at a run that stops when it is decided: at which level a report judges it, and how a look is taken."""
