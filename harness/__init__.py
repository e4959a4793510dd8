"""The host: what to run, when, and what to keep."""

if __name__ != "tunebench.harness":
    raise ImportError("import tunebench.harness: the folder harness/ is no package of its own")

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tunebench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
