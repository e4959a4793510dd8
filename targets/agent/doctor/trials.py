"""Try what may import well and die at its first use: a tiny forward and backward, kernels of few bits, in children.

A wheel for another CPU or another CUDA imports well and ends its process at the first kernel. So every trial has a
process of its own, tells each step before it takes it, and what it did not come back from is known by its name.
"""

import json
import signal
import subprocess
from collections import namedtuple
from typing import Any, Dict, List, Optional, Sequence, Tuple

from tunebench.targets.agent.environment.interpreters import NEUTRAL
from tunebench.targets.agent.linux import processes, said

SCHEMA = "tunebench.trials/1"
#: Torch and transformers from an SD card take minutes.
LIMIT_S = 480.0

#: What is tried: its name, the package that must be importable, and steps (name, source), run in one namespace, in which
#: ``place`` is the device.
Trial = namedtuple("Trial", ["name", "package", "steps"])

_LLAMA = """
transformers.utils.logging.set_verbosity_error()
torch.manual_seed(0)
shape = transformers.LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                 num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32)
network = transformers.LlamaForCausalLM(shape)
tokens = torch.arange(32).reshape(2, 16)
loss = network(input_ids=tokens, labels=tokens).loss
assert bool(torch.isfinite(loss)), "the loss is %r" % float(loss)
"""
_BACKWARD = """
loss.backward()
gradients = [weight.grad for weight in network.parameters()]
assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients), "no finite gradients"
"""
_QUANTIZED = """
weight = torch.linspace(-1, 1, 64 * 64).reshape(64, 64).to(place)
packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4")
again = bitsandbytes.functional.dequantize_4bit(packed, state)
worst = float((again - weight).abs().max())
assert worst < 0.2, "4-bit values lie up to %g from what they stand for" % worst
"""
_PRODUCT = """
layer = bitsandbytes.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4").to(place)
given = torch.ones(2, 64, device=place, requires_grad=True)
layer(given).sum().backward()
assert bool(torch.isfinite(given.grad).all()), "no finite gradient"
"""
_PACKED = """
layer = bitsandbytes.nn.Linear8bitLt(64, 64, bias=False, has_fp16_weights=False, threshold=6.0).to(place)
assert layer.weight.dtype == torch.int8, "the weight is %s" % layer.weight.dtype
"""
_PRODUCT_8 = """
given = torch.ones(2, 64, device=place, requires_grad=True)
layer(given).sum().backward()
assert bool(torch.isfinite(given.grad).all()), "no finite gradient"
"""
FOUR_BIT, EIGHT_BIT = "4-bit kernel", "8-bit kernel"
TRIALS = (
    Trial(
        "transformers",
        "transformers",
        (
            ("import", "import torch, transformers"),
            ("forward", _LLAMA),
            ("backward", _BACKWARD),
        ),
    ),
    Trial(
        FOUR_BIT,
        "bitsandbytes",
        (
            ("import", "import torch, bitsandbytes"),
            ("quantize", _QUANTIZED),
            ("product and backward", _PRODUCT),
        ),
    ),
    Trial(
        EIGHT_BIT,
        "bitsandbytes",
        (
            ("import", "import torch, bitsandbytes"),
            ("quantize", _PACKED),
            ("product and backward", _PRODUCT_8),
        ),
    ),
)

#: Runs in the interpreter in question; what is tried stands in its argument.
_RUN = """
import json, sys, time
sys.path[:] = [entry for entry in sys.path if entry]
from importlib.util import find_spec
package, steps, place = json.loads(sys.argv[1])
def tell(**what):
    sys.__stdout__.write(json.dumps(what) + "\\n")
    sys.__stdout__.flush()
if find_spec(package) is None:
    tell(absent=True)
    sys.exit(0)
names = {"place": place}
if place is None:
    try:
        import torch
        names["place"] = "cuda" if torch.cuda.is_available() else "cpu"
    except ImportError:
        pass
for name, source in steps:
    tell(begin=name)
    began = time.monotonic()
    exec(source, names)
    tell(end=name, seconds=time.monotonic() - began)
version = getattr(sys.modules.get(package), "__version__", None)
tell(version=None if version is None else str(version))
"""


def chosen(names: Sequence[str]) -> List[Trial]:
    """Return the trials of these names."""
    return [trial for trial in TRIALS if trial.name in names]


def run(
    argv: List[str], table: Sequence[Trial] = TRIALS, limit_s: float = LIMIT_S, place: Optional[str] = None
) -> Dict[str, Any]:
    """Run the trials whose package an interpreter can import.

    Args:
        argv: starts the interpreter.
        table: what is tried.
        limit_s: a trial's bound.
        place: device of the kernels, ``cpu`` or ``cuda``; None: CUDA where torch sees one.

    Returns:
        ``schema`` and ``trials``: rows with ``name``, ``package``, ``version``, ``survived`` (names of steps),
        ``died_in`` (None: nowhere), ``reason`` and ``seconds`` of all steps; no row of a package that is not there.
    """
    rows = [row for row in (_one(argv, trial, limit_s, place) for trial in table) if row is not None]
    return {"schema": SCHEMA, "trials": rows}


def _one(argv: List[str], trial: Trial, limit_s: float, place: Optional[str]) -> Optional[Dict[str, Any]]:
    """Return the row of a trial; None where its package is not there."""
    command = processes.expanded(argv) + ["-c", _RUN, json.dumps([trial.package, trial.steps, place])]
    messages, reason = _in_child(command, limit_s)
    if any(message.get("absent") is True for message in messages):
        return None
    begun = [str(message["begin"]) for message in messages if "begin" in message]
    survived = [message for message in messages if "end" in message]
    version = next((message["version"] for message in messages if "version" in message), None)
    died_in = None
    if reason is not None:
        died_in = "start" if not begun else begun[-1] if len(begun) > len(survived) else "end"
    return {
        "name": trial.name,
        "package": trial.package,
        "version": version,
        "survived": [str(message["end"]) for message in survived],
        "died_in": died_in,
        "reason": reason,
        "seconds": sum(float(message.get("seconds", 0.0)) for message in survived),
    }


def _in_child(command: List[str], limit_s: float) -> Tuple[List[Dict[str, Any]], Optional[str]]:
    """Return what a process told, and why it did not end well; None: it did."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=null, stdout=pipe, stderr=pipe, cwd=NEUTRAL)
    except OSError as error:
        return [], "cannot start %s: %s" % (command[0], error.strerror)
    try:
        out, err = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        out, _ = child.communicate()
        return _messages(out), "no end within %g s" % limit_s
    if child.returncode < 0:
        return _messages(out), "killed by %s" % _signal(-child.returncode)
    if child.returncode:
        text = said.why(err.decode("utf-8", "replace"))
        return _messages(out), text or "exit status %d" % child.returncode
    return _messages(out), None


def _messages(out: bytes) -> List[Dict[str, Any]]:
    """Return what a trial told; other lines on its output are not ours."""
    messages = []
    for line in out.decode("utf-8", "replace").splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            messages.append(message)
    return messages


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number
