"""Runs that nobody waits for: started detached, their state in a folder of the results root."""
