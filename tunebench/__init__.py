"""tunebench: a hardware-in-the-loop benchmark harness for on-device fine-tuning.

In a script or a notebook (docs/api.md)::

    import tunebench

    results = tunebench.run("lab.toml", "quick")    # or tunebench.load("results")
    results.verdicts                                # a DataFrame
    results.report(html="report.html")

What is named here is imported on first use, so that ``import tunebench`` costs next to nothing.
"""

from typing import TYPE_CHECKING

__all__ = ["Comparison", "Results", "__version__", "compare", "load", "run"]

if TYPE_CHECKING:
    from tunebench.api import Comparison, Results, compare, load, run

    __version__: str
else:

    def __getattr__(name: str) -> object:
        """Return one of the names of ``__all__``; import what it needs."""
        if name == "__version__":
            from tunebench.harness import __version__

            return __version__
        if name in __all__:
            from tunebench import api

            return getattr(api, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
