"""Boards that several hosts and people share: a provider says which there are, and whose turn it is.

A turn at a board is a ticket of the provider's: the queue, with the provider's own fairness. It is no fence. What keeps
two owners from one board is the lease on the board itself, whatever a provider forgets.
"""
