"""Convolutional networks on torch: adapters, modules, losses and their session."""
