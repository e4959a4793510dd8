"""What a data set's loader and the registry raise."""


class DataUnavailable(RuntimeError):
    """A data set's file is missing or damaged; the message says which, where from, and how to place it."""


class UnknownDataset(ValueError):
    """A data set name that is not in the registry, or a package's data set that cannot be imported."""
