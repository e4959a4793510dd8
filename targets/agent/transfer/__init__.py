"""Take and give files: the payload, data, and updates of weights."""
