"""Diagrams of methods, and what the report knows of each."""
