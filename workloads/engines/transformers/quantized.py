"""Linear maps in bitsandbytes' forms: packed when they come to their device, unpacked for each product.

Such maps stay in training mode. In inference mode the package (0.50) repacks 4-bit weights for some CPUs into a layout
without a backward pass, and multiplies in 8 bits, so that training and evaluation would see two bases; they have no
dropout, so nothing else depends on the mode.
"""

import sys
from typing import Any

import torch
from torch import nn

from tunebench.workloads.methods.quantized_base import NF4, PACKAGE
from tunebench.workloads.tasks.spec import SpecError

#: activations beyond it are multiplied apart: the package's own value (LLM.int8()), and Hugging Face's
_OUTLIER = 6.0


def check_kernels(form: str, device: Any) -> None:
    """Multiply by one small packed map, forward and backward.

    Raises:
        SpecError: the package is not there, or its kernels for the form do not run on the device, with what they said.
    """
    weight = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)
    try:
        layer = packed(weight, None, form, torch.float32).to(device)
        given = torch.ones(2, 64, device=device, requires_grad=True)
        layer(given).sum().backward()
        fits = bool(torch.isfinite(given.grad).all())
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001  whatever a kernel of somebody else's raises at its first use
        raise SpecError(_cannot(form, device, str(error).strip().split("\n")[0][:300])) from None
    if not fits:
        raise SpecError(_cannot(form, device, "a gradient is not finite"))


def _cannot(form: str, device: Any, why: str) -> str:
    return "workload.quantized_base is %r: the kernels of %s %s fail at their first use on %s (%s)" % (
        form, PACKAGE, getattr(_package(), "__version__", ""), device.type, why,
    )  # fmt: skip


def _package() -> Any:
    try:
        import bitsandbytes
    except Exception as error:  # noqa: BLE001  a wheel for another CUDA may raise anything
        raise SpecError(
            "workload.quantized_base needs the package %s in this interpreter (%s); install it there: "
            "%s -m pip install --no-deps %s" % (PACKAGE, str(error).split("\n")[0], sys.executable, PACKAGE)
        ) from None
    return bitsandbytes


def packed(weight: Any, bias: Any, form: str, compute: Any) -> Any:
    """Return a linear map that packs its weight once it is moved to a device.

    Args:
        weight: float32 (outputs, inputs); only read.
        bias: of its outputs, or None.
        form: ``nf4`` or ``int8``.
        compute: torch's type in which 4-bit maps are multiplied.
    """
    layers = _package().nn
    sizes = (weight.shape[1], weight.shape[0], bias is not None)
    if form == NF4:
        layer = layers.Linear4bit(
            *sizes, compute_dtype=compute, compress_statistics=True, quant_type=NF4, device="meta"
        )
        layer.weight = layers.Params4bit(
            weight, requires_grad=False, compress_statistics=True, quant_type=NF4, module=layer
        )
    else:
        layer = layers.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=_OUTLIER, device="meta")
        layer.weight = layers.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    # Not train(): a trunk's eval() comes later and would undo it.
    layer.train = lambda mode=True: layer
    return layer


def is_packed(layer: Any) -> bool:
    """Return whether a module is a linear map whose weight is packed."""
    return getattr(getattr(layer, "weight", None), "dtype", None) in (torch.int8, torch.uint8)


def unpacked(layer: Any) -> Any:
    """Return a float32 linear map with the weight that a packed one stands for; any other layer as it is."""
    if not is_packed(layer):
        return layer
    weight = layer.weight
    if weight.dtype is torch.int8:
        scales = layer.state.SCB if layer.state.SCB is not None else weight.SCB
        value = weight.data.float() * (scales / 127.0).unsqueeze(1)
    else:
        value = _package().functional.dequantize_4bit(weight.data, weight.quant_state).float()
    made = nn.Linear(value.shape[1], value.shape[0], layer.bias is not None, device="meta")
    made.weight = nn.Parameter(value, requires_grad=False)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach().float(), requires_grad=False)
    return made


def unpack(network: Any) -> None:
    """Put float32 maps into a network in the place of its packed ones."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if is_packed(layer):
                setattr(parent, name, unpacked(layer))
