"""The host: what to run, when, and what to keep."""

if __name__ != "tunebench.harness":
    raise ImportError("import tunebench.harness: the folder harness/ is no package of its own")

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Return ``__version__``, looked up on first use: importlib.metadata is slow to import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("tunebench")
        except PackageNotFoundError:  # a source tree that was never installed
            number = "0+unknown"
        globals()["__version__"] = number
        return number
