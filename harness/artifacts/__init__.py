"""Gather what travels to a board: payload, data, start weights, native libraries."""
