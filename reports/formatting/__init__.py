"""Show values: units, tables, and what is kept private."""
