"""Answer what can be measured on this board and why not: permissions, and a redacted capture."""
