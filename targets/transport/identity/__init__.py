"""Prove who we are: keys of files and agents, in OpenSSH's order, each offered once."""
