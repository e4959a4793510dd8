"""Read the tables of a suite file: one module an idea; `schema` puts them together."""
