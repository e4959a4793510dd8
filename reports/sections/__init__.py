"""The report's sections: each gives numbers, words and figures."""
