"""Tell what is left of the runs of a results root: which is unfinished, how far each is, how to go on."""
