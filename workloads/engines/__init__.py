"""Engines execute a plan: each is one module (or package) and one line in :data:`ENGINES`.

The module of an engine has

- ``version() -> str``: asked once a job, for the record;
- ``Session(task, cache=None)``, see :class:`tunebench.workloads.engines.session.Session`: made once a job, on the
  board; the correctness check makes two, one of them with ``cache=False``.

A lab's own package adds an engine without a fork, by an entry point that names an :class:`Engine`::

    [project.entry-points."tunebench.engines"]
    my-engine = "my_lab.engine:ENGINE"

On boards there are no entry points: the payload of a suite that uses the engine carries the Python files of
:attr:`Engine.package` and a table of such engines in the place of :mod:`tunebench.workloads.engines.lab`.
"""

import importlib
from typing import Any, Dict, List, NamedTuple, Tuple

from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.table import FORWARD_ONLY, keeping_trunk
from tunebench.workloads.models import MODELS, NETWORKS
from tunebench.workloads.models.language import is_text_model
from tunebench.workloads.tasks.spec import DEVICES, DTYPES, FLOAT32, SpecError
from tunebench.workloads.tasks.training import Training

#: abilities that a plan may ask of an engine, and what that is in words
ABILITIES = {
    "forward-only": "estimate slopes without gradients",
    "checkpoint": "run blocks again in the backward pass",
    "block-skips": "train skip adapters from blocks",
    "frozen-extractors": "train adapters' B alone",
    "quantized-base": "keep a frozen base in few bits (workload.quantized_base)",
}


class Engine(NamedTuple):
    """What an engine registers; read on the host when a suite is checked and on the board when a job starts.

    Attributes:
        chain: module that trains chains, models of rows of numbers; "" if none does.
        network: module that trains networks, models of images; "" if none does.
        models: names of the models that it trains; empty: whatever its modules are for.
        devices: where it runs.
        max_threads: 0: any number.
        needs_torch: the board's interpreter must have torch.
        library: its kernels are compiled on the host for each board (:mod:`~tunebench.workloads.engines.native.build`).
        settings: keys of a ``[[workload]]`` that are for it.
        training: keys of training (:class:`~tunebench.workloads.tasks.training.Training`) that it honours; a workload
            that sets another is refused. ``alpha`` is none of them: it is settled before an engine sees it, as ``scale``.
        limits: the limits above in words, for the error of a suite beyond them.
        package: of a lab's engine, the top-level package whose Python files travel to boards.
        abilities: what else it does, of :data:`ABILITIES`.
        frozen_trunk: of a network it trains what stands behind the trunk only: the head, skip adapters; and what
            ``adapters`` allows.
        adapters: module whose ``why_not(plan)`` says what keeps it from training a plan's adapters in the trunk.
        text: module that trains transformers, models of texts; "" if none does.
        packages: what the board's interpreter must have besides torch, by import name.
        dtypes: number formats that it computes in.
        trunk: of :data:`tunebench.workloads.deploy.RUNTIMES` that in which a network's frozen trunk runs: the host writes
            its file, the board must have it; "" if the engine runs the network itself.
        starts: it begins from start weights that transforms have changed.
    """

    chain: str = ""
    network: str = ""
    models: Tuple[str, ...] = ()
    devices: Tuple[str, ...] = DEVICES
    max_threads: int = 0
    needs_torch: bool = False
    library: bool = False
    settings: Tuple[str, ...] = ()
    training: Tuple[str, ...] = ()
    limits: str = ""
    package: str = ""
    abilities: Tuple[str, ...] = ()
    frozen_trunk: bool = False
    adapters: str = ""
    text: str = ""
    packages: Tuple[str, ...] = ()
    dtypes: Tuple[str, ...] = (FLOAT32,)
    trunk: str = ""
    starts: bool = False

    def module_for(self, model: str) -> str:
        """Return the module that trains a model; "" if none does."""
        if is_text_model(model):
            return self.text
        return self.network if model in NETWORKS else self.chain

    def runs(self, model: str, device: str, threads: int) -> bool:
        """Return whether it trains a model on a device with so many threads."""
        return (
            bool(self.module_for(model))
            and (not self.models or model in self.models)
            and device in self.devices
            and (not self.max_threads or threads <= self.max_threads)
        )


_HERE = "tunebench.workloads.engines."
_CLASSIFIERS = tuple(name for name in NETWORKS if MODELS[name].task == "classify")
#: name -> engine
ENGINES: Dict[str, Engine] = {
    "torch": Engine(
        _HERE + "pytorch.chain",
        _HERE + "pytorch.networks",
        needs_torch=True,
        abilities=("forward-only", "checkpoint", "block-skips", "frozen-extractors"),
        training=("optimizer", "schedule", "clip", "weight_decay", "batchnorm", "head", "lora_plus"),
        starts=True,
    ),
    "native": Engine(
        _HERE + "native",
        _HERE + "native.network",
        models=("mlp",) + tuple(name for name in _CLASSIFIERS if MODELS[name].native),
        devices=("cpu",),
        max_threads=1,
        library=True,
        settings=("build", "cache_dtype", "cache_budget_b"),
        training=("optimizer", "schedule", "clip", "weight_decay", "lora_plus"),
        limits="model 'mlp', and classifiers of images whose trunk stays frozen or carries adapters, without shuffled "
        "channels, squeeze-and-excitation and swish, on one thread of the CPU",
        abilities=("block-skips", "frozen-extractors"),
        frozen_trunk=True,
        adapters=_HERE + "native.net",
    ),
    "onnxruntime-head": Engine(
        network=_HERE + "onnxruntime_head.session",
        models=_CLASSIFIERS,
        devices=("cpu",),
        training=("optimizer", "schedule", "clip", "weight_decay", "lora_plus"),
        limits="classifiers of images whose trunk stays frozen, on the CPU",
        abilities=("block-skips",),
        frozen_trunk=True,
        trunk="onnxruntime",
        starts=True,
    ),
    "transformers": Engine(
        text=_HERE + "transformers.session",
        needs_torch=True,
        packages=("transformers",),
        abilities=("forward-only", "checkpoint", "block-skips", "quantized-base"),
        training=("optimizer", "schedule", "clip", "weight_decay", "head", "lora_plus", "accumulate"),
        dtypes=DTYPES,
        limits="transformers: pypi:PACKAGE==VERSION, folder:PATH, shape:NAME",
    ),
}


def plugins() -> Dict[str, Tuple[str, str]]:
    """Return the engines of labs' packages: name -> (``module:object``, package); a name of ours cannot be taken."""
    try:
        from tunebench.workloads.engines import lab
    except ImportError:  # a payload without any
        return {}
    return {name: point for name, point in lab.points().items() if name not in ENGINES}


def find_engine(name: str) -> Engine:
    """Return what an engine has registered.

    Raises:
        SpecError: there is no such engine, or its package cannot be imported.
    """
    if name in ENGINES:
        return ENGINES[name]
    points = plugins()
    if name not in points:
        known = ", ".join(list(ENGINES) + sorted(points))
        raise SpecError("workload.engine is %r, allowed: %s" % (name, known))
    reference, package = points[name]
    where = "engine %r of package %s (%s)" % (name, package, reference)
    module, _, attribute = reference.partition(":")
    try:
        engine = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # noqa: BLE001  a package of somebody else's may raise anything
        raise SpecError("%s cannot be imported: %s: %s" % (where, type(error).__name__, error)) from None
    if not isinstance(engine, Engine):
        raise SpecError("%s is no tunebench.workloads.engines.Engine" % where)
    if not engine.package:
        raise SpecError("%s does not name the package that travels to boards" % where)
    return engine


def check_training(name: str, training: Training, model: str = "mlp") -> None:
    """Refuse keys of training that an engine does not honour; a value that is the default asks for nothing.

    Raises:
        SpecError: names the first such key, its value, and the engines that honour it for the model.
    """
    engine = find_engine(name)
    for key in training.changed:
        if key not in engine.training:
            able = _running(model, [other for other, entry in ENGINES.items() if key in entry.training])
            raise SpecError(
                "engine %r does not have %s = %r; engines that do: %s"
                % (name, key, getattr(training, key), able)
            )


def check_dtype(name: str, dtype: str, model: str = "mlp") -> None:
    """Refuse a number format that an engine does not compute in.

    Raises:
        SpecError: names the engine's formats, and the engines that have this one for the model.
    """
    engine = find_engine(name)
    if dtype not in engine.dtypes:
        able = _running(model, [other for other, entry in ENGINES.items() if dtype in entry.dtypes])
        raise SpecError(
            "engine %r computes in %s, not in dtype = %r; engines that do for model %r: %s"
            % (name, ", ".join(engine.dtypes), dtype, model, able)
        )


def _running(model: str, engines: List[str]) -> str:
    """Return those engines that run a model, for a sentence."""
    able = [name for name in engines if ENGINES[name].runs(model, DEVICES[0], 1)]
    return ", ".join(able) or "none of this version"


def check_plan(name: str, method: str, plan: Plan) -> None:
    """Refuse what a plan asks of an engine that does not do it.

    Raises:
        SpecError: names the engines that run it.
    """
    asked = {
        "forward-only": plan.gradient == FORWARD_ONLY,
        "checkpoint": plan.checkpoint,
        "block-skips": bool(plan.graph.added),
        "frozen-extractors": plan.frozen_extractors,
        "quantized-base": plan.quantized_base is not None,
    }
    for ability, wanted in asked.items():
        if wanted and ability not in find_engine(name).abilities:
            able = [other for other, entry in ENGINES.items() if ability in entry.abilities]
            raise SpecError(
                "engine %r does not %s, as method %r is to; engines that do: %s"
                % (name, ABILITIES[ability], method, ", ".join(able))
            )
    lacks = _lacking(find_engine(name), plan)
    if lacks:
        able = [other for other, entry in ENGINES.items() if entry.network and not entry.frozen_trunk]
        raise SpecError(
            "engine %r keeps a network's trunk frozen, method %r trains it; engines that do: %s; methods of model %r "
            "that leave it frozen: %s%s"
            % (
                name,
                method,
                ", ".join(able),
                plan.graph.name,
                ", ".join(keeping_trunk(plan.graph.name)),
                lacks,
            )
        )
    if "batchnorm" in find_engine(name).training or not (plan.statistics or plan.norms):
        return
    model = plan.graph.name
    able = [
        other
        for other, entry in ENGINES.items()
        if "batchnorm" in entry.training and entry.runs(model, DEVICES[0], 1)
    ]
    raise SpecError(
        "engine %r leaves BatchNorm frozen, method %r changes it; engines that do: %s"
        % (name, method, ", ".join(able) or "none of this version")
    )


def _lacking(engine: Engine, plan: Plan) -> str:
    """Return what a plan trains in a network's trunk that an engine does not, in a sentence's words; "" if it does."""
    if not (engine.frozen_trunk and plan.trains_trunk):
        return ""
    if not engine.adapters:
        return "; it trains nothing in a trunk"
    lacks: str = importlib.import_module(engine.adapters).why_not(plan)
    return lacks and "; in a trunk it trains " + lacks


def load_engine(name: str, model: str = "mlp") -> Any:
    """Import the module of an engine that trains a model.

    Raises:
        SpecError: there is no such engine, or it does not train such models.
    """
    engine = find_engine(name)
    module = engine.module_for(model)
    if not module or (model in NETWORKS and engine.models and model not in engine.models):
        able = [other for other in ENGINES if ENGINES[other].runs(model, DEVICES[0], 1)]
        raise SpecError("workload.engine is %r, model %r runs on: %s" % (name, model, ", ".join(able)))
    return importlib.import_module(module)
