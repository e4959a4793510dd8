"""Judge whether a repetition's numbers may be used."""
