"""Carry bytes to a board and back over SSH, every wait bounded."""
