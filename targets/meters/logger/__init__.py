"""What vendors' loggers write into their files: encodings, rows, numbers, units and times."""
