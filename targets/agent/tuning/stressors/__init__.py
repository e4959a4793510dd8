"""Stressors: what a suite asks to hold around a fine-tuning, one module a kind; the list is in ``table``."""
