"""What sections are made of: the contract, groups of rows, words of rows, panels of figures, downloads."""
