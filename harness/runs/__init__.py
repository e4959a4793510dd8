"""Look after the runs of a results root: which is unfinished, how far each is, how one ended."""
