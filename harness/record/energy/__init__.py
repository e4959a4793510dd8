"""Integrate power over a repetition's window."""
