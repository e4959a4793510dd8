"""The workload of a job, checked: section ``workload`` of ``job.json``."""

import re
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from tunebench.workloads import defaults
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.quantized_base import parse_quantized_base
from tunebench.workloads.methods.skips import USUAL, Skips, parse_skips
from tunebench.workloads.models.language import SEQ_LEN, is_text_model
from tunebench.workloads.tasks.training import PLAIN, Training, parse_training
from tunebench.workloads.updates import Form, UpdateError, parse_form

SCHEMA = "tunebench.workload/1"
MODES = ("timed", "instrumented", "check", "energy")
DEVICES = ("cpu", "cuda")
#: what maps are computed in; weights, updates and caches are float32 in all of them
FLOAT32, FLOAT16 = "float32", "float16"
DTYPES = (FLOAT32, "bfloat16", FLOAT16)
#: So many fine-tunings in one window, unless the job says otherwise: bounds the result's size.
MAX_REPEATS = 100000


class SpecError(WorkloadError):
    """A workload that cannot be run as written; names the key, its value and what is allowed."""


class Repeat(NamedTuple):
    """How the fine-tuning is repeated from its start weights inside one window.

    Attributes:
        min_s: no further one is started once the window has lasted so long.
        max_n: nor beyond so many.
        lead_s: load before the window, so that it does not begin with a step of the power.
        tail_s: load behind it.
    """

    min_s: float
    max_n: int
    lead_s: float
    tail_s: float


class Spec(NamedTuple):
    """What to fine-tune, how, and with which numbers."""

    mode: str
    method: Optional[str]
    model: str
    dataset: str
    engine: str
    device: str
    threads: int
    dtype: str
    epochs: int
    batch: int
    lr: float
    rank: int
    scale: float
    seed: int
    warmup_steps: int
    module: Optional[str]
    params: Dict[str, Any]
    repeat: Optional[Repeat] = None
    #: updates to be written after the fine-tuning, outside the window
    ship: Tuple[Form, ...] = ()
    training: Training = PLAIN
    #: numerator of the adapters' scale; None: ``scale`` was given itself
    alpha: Optional[float] = None
    #: of skip adapters in a network with branches
    skips: Skips = USUAL
    #: values of a network's blocks are computed again in the backward pass
    checkpoint: bool = False
    #: tokens of a text at most; None of other data
    seq_len: Optional[int] = None
    #: layers of a transformer that get adapters, as peft names them; None: by the method's rule
    targets: Optional[Union[str, Tuple[str, ...]]] = None
    #: form of the frozen maps' weights of a transformer; None: float32
    quantized_base: Optional[str] = None

    @property
    def update_batch(self) -> int:
        """Return the samples of one update: those of all batches whose gradients are added up."""
        return self.batch * self.training.accumulate


def parse(workload: Dict[str, Any]) -> Spec:
    """Check a workload; keys left out get the protocol's values.

    Raises:
        SpecError: the first key that is wrong.
        TrainingError: likewise, of the keys of training.
    """
    schema = str(workload.get("schema", SCHEMA))
    if schema != SCHEMA and not schema.startswith(SCHEMA + "."):
        raise SpecError("workload: schema %r, expected %r" % (schema, SCHEMA))
    get = workload.get
    # A module of the user's own may have neither.
    dataset, model = str(get("dataset") or "digits"), get("model") or "mlp"
    module = get("module")
    rank = _integer("rank", get("rank", defaults.RANK), 0)
    alpha = None if get("alpha") is None else _number("alpha", get("alpha"))
    if alpha is not None and "scale" in workload:
        raise SpecError("workload.alpha and workload.scale exclude each other: scale is alpha / rank")
    return Spec(
        mode=_choice("mode", get("mode", "timed"), MODES),
        method=None if module else _text("method", get("method")),
        model=_text("model", model),
        dataset=dataset,
        engine=_text("engine", get("engine", "torch")),
        device=_choice("device", get("device", "cpu"), DEVICES),
        threads=_integer("threads", get("threads", 1), 1),
        dtype=_choice("dtype", get("dtype", "float32"), DTYPES),
        epochs=_integer("epochs", get("epochs", defaults.epochs(dataset, str(model))), 1),
        batch=_integer("batch", get("batch", defaults.BATCH), 1),
        lr=_number("lr", get("lr", defaults.LEARNING_RATE)),
        rank=rank,
        scale=alpha / max(1, rank) if alpha is not None else _number("scale", get("scale", defaults.SCALE)),
        seed=_integer("seed", get("seed", 0), 0),
        warmup_steps=_integer("warmup_steps", get("warmup_steps", defaults.WARMUP_STEPS), 0),
        module=_text("module", module) if module else None,
        params=dict(get("params") or {}),
        repeat=_repeat(get("repeat"), get("mode", "timed")),
        ship=_ship(get("ship")),
        training=parse_training(workload),
        alpha=alpha,
        skips=parse_skips(get("skip_grid"), get("skip_blocks")),
        checkpoint=_flag("checkpoint", get("checkpoint", False)),
        seq_len=_seq_len(str(model), get("seq_len")),
        targets=parse_targets(str(model), get("targets")),
        quantized_base=parse_quantized_base(str(model), get("quantized_base")),
    )


def parse_targets(model: str, value: Any) -> Optional[Union[str, Tuple[str, ...]]]:
    """Check the key ``targets``; None stands for the method's rule.

    Raises:
        SpecError: no names, no regular expression, or a model that is no transformer.
    """
    if value is None:
        return None
    if not is_text_model(model):
        raise SpecError(
            "workload.targets is %r, model %r is no transformer: leave the key out" % (value, model)
        )
    if isinstance(value, str) and value:
        try:
            re.compile(value)
        except re.error as error:
            raise SpecError("workload.targets is %r, no regular expression: %s" % (value, error)) from None
        return value
    names = value if isinstance(value, (list, tuple)) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise SpecError("workload.targets is %r, expected names of layers or a regular expression" % (value,))
    return tuple(names)


def _seq_len(model: str, value: Any) -> Optional[int]:
    if is_text_model(model):
        return _integer("seq_len", SEQ_LEN if value is None else value, 2)
    if value is not None:
        raise SpecError(
            "workload.seq_len is %r, model %r reads no tokens: leave the key out" % (value, model)
        )
    return None


def _repeat(value: Any, mode: str) -> Optional[Repeat]:
    if value is None:
        if mode == "energy":
            raise SpecError("workload.repeat is missing: mode 'energy' repeats the fine-tuning")
        return None
    if mode not in ("energy", "timed") or not isinstance(value, dict):
        raise SpecError(
            "workload.repeat goes with modes 'energy' and 'timed', as {min_s, max_n, lead_s, tail_s}"
        )
    return Repeat(
        min_s=_seconds("repeat.min_s", value.get("min_s")),
        max_n=_integer("repeat.max_n", value.get("max_n", MAX_REPEATS), 1),
        lead_s=_seconds("repeat.lead_s", value.get("lead_s", 0.0)),
        tail_s=_seconds("repeat.tail_s", value.get("tail_s", 0.0)),
    )


def _ship(value: Any) -> Tuple[Form, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise SpecError("workload.ship is %r, expected a list of updates" % (value,))
    try:
        return tuple(parse_form(text) for text in value)
    except UpdateError as error:
        raise SpecError("workload.ship: %s" % error) from None


def _seconds(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e6:
        raise SpecError("workload.%s is %r, expected seconds" % (key, value))
    return float(value)


def _choice(key: str, value: Any, allowed: Any) -> str:
    if value not in allowed:
        raise SpecError("workload.%s is %r, allowed: %s" % (key, value, ", ".join(allowed)))
    return str(value)


def _flag(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise SpecError("workload.%s is %r, allowed: true, false" % (key, value))
    return bool(value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SpecError("workload.%s is %r, expected a name" % (key, value))
    return value


def _integer(key: str, value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise SpecError("workload.%s is %r, expected an integer of at least %d" % (key, value, least))
    return value


def _number(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not value > 0 or value == float("inf"):
        raise SpecError("workload.%s is %r, expected a number above 0" % (key, value))
    return float(value)
