"""Models as lists of layers: plain data that every engine reads.

A model is a function ``layers(n_in, n_out) -> tuple of Layer``. A layer is a linear map or a convolution,
followed (if ``norm``) by BatchNorm and ReLU. Networks with branches are graphs
(:mod:`tunebench.workloads.models.networks`). Nothing here imports torch.
"""

from typing import Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import cnn, mlp
from tunebench.workloads.models.layer import Layer, UnsupportedModel
from tunebench.workloads.models.networks import NETWORKS

#: name -> function (n_in, n_out) -> layers
MODELS = {"mlp": mlp.layers, "cnn": cnn.layers}


class UnknownModel(WorkloadError):
    """A model name that is not in :data:`MODELS`."""


def layers_of(model: str, n_in: int, n_out: int) -> Tuple[Layer, ...]:
    """The layers of a model for a data set's sizes.

    Raises:
        UnknownModel: names the allowed ones; a network is not among them, it has no chain of layers.
        UnsupportedModel: the model does not take inputs of this size.
    """
    if model not in MODELS:
        raise UnknownModel("unknown model %r, use one of: %s" % (model, ", ".join(sorted(MODELS))))
    return MODELS[model](n_in, n_out)


__all__ = ["MODELS", "NETWORKS", "Layer", "UnknownModel", "UnsupportedModel", "layers_of"]
