"""What a method does, in two lines made from what the table of methods says of it; how its weights were updated."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures.methods.known import KnownMethod
from tunebench.reports.formatting.training_words import PLAIN, training_words
from tunebench.reports.formatting.units import clean

_ADAPTERS = {
    "own-last": "a low-rank adapter beside the last layer",
    "own-all": "a low-rank adapter beside every layer",
    "skip": "a low-rank adapter from each layer's input to the last output",
    "convolutions": "a low-rank adapter at every convolution",
}


def what_trains(method: KnownMethod) -> str:
    """Say what of the network trains.

    >>> what_trains(KnownMethod(adapters="own-all"))
    'Frozen, and a low-rank adapter beside every layer that trains.'
    >>> what_trains(KnownMethod(weights="last", biases="last"))
    'Only weights and biases of the last layer train.'
    >>> what_trains(KnownMethod(adapters="own-all", frozen_extractors=True))
    'Frozen, and a low-rank adapter beside every layer whose second factor alone trains.'
    """
    base, adapters = _base(method), _ADAPTERS.get(method.adapters, "")
    if method.batchnorm != "frozen":
        known = {
            "reestimated": "Nothing trains; BatchNorm's statistics are re-estimated on the inputs, without labels.",
            "reestimated+affine": "BatchNorm's scales and shifts train without labels, on its statistics re-estimated.",
        }
        return known[method.batchnorm]
    if not base:
        trains = "whose second factor alone trains" if method.frozen_extractors else "that trains"
        return f"Frozen, and {adapters} {trains}." if adapters else "Nothing trains."
    if adapters:
        return f"{base} train, and {adapters}."
    return f"{base} train." if base.startswith("All") else f"Only {base[:1].lower()}{base[1:]} train."


def _base(method: KnownMethod) -> str:
    both = (("weights", method.weights), ("biases", method.biases))
    chosen = [(what, layers) for what, layers in both if layers != "none"]
    if len(chosen) == 2 and method.weights == method.biases:
        return "All weights and biases" if method.weights == "all" else "Weights and biases of the last layer"
    return " and ".join(
        f"{what} of {'all layers' if layers == 'all' else 'the last layer'}" for what, layers in chosen
    )


def what_it_costs(method: KnownMethod) -> str:
    """Say what a training step runs, and what is shipped.

    >>> what_it_costs(KnownMethod(adapters="own-last"))
    'Gradients: last layer alone. Forward: whole network in each step. Ships the adapters.'
    """
    if method.objective == "none":
        once = "whole network once" if method.batchnorm != "frozen" else "none"
        return f"Gradients: none. Forward: {once}. Ships {_shipped(method)}."
    if method.gradient == "forward-only":
        return f"Gradients: none; estimated from two forward passes a step. Ships {_shipped(method)}."
    back = "every layer" if method.reach == "all" else "last layer alone"
    forward = (
        "what is frozen in the first epoch only, then from a cache"
        if method.cache
        else "whole network in each step"
    )
    return f"Gradients: {back}. Forward: {forward}. Ships {_shipped(method)}."


def _shipped(method: KnownMethod) -> str:
    if method.batchnorm != "frozen":
        return "BatchNorm's statistics" + (
            ", scales and shifts" if method.batchnorm.endswith("affine") else ""
        )
    own = {"all": "the whole network", "last": "the last layer", "none": ""}[method.weights]
    if not own and method.biases != "none":
        own = "the biases" if method.biases == "all" else "the last layer's bias"
    adapters = "the adapters" if method.adapters != "none" else ""
    return " and ".join(part for part in (own, adapters) if part) or "nothing"


def trained_by(rows: Sequence[MethodResult]) -> str:
    """Return how weights were updated, in words; empty if plainly by all of our methods. A user's own does not tell."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        if not row.own and not row.aa_control:
            names = labels.setdefault(training_words(row.params) or PLAIN, [])
            if row.label not in names:
                names.append(row.label)
    if set(labels) <= {PLAIN}:
        return ""
    if len(labels) == 1:
        return f"Trained by {clean(next(iter(labels)), 200)}."
    sentences = [
        f"{', '.join(clean(label, 60) for label in names)}: {clean(words, 200)}"
        for words, names in labels.items()
    ]
    return f"Trained by: {'; '.join(sentences)}."
