"""``tunebench params``: what a method trains on a network, and what its update weighs. Needs no torch and no board."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tunebench.harness.cli.options import JsonFlag
from tunebench.harness.errors import UsageError
from tunebench.harness.lab import memory as lab_memory
from tunebench.workloads import engines, updates
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import macs
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods import table as methods_table
from tunebench.workloads.methods.quantized_base import FORMS, parse_quantized_base, with_quantized_base
from tunebench.workloads.methods.skips import GRIDS, parse_skips
from tunebench.workloads.models import COUNTED, counted
from tunebench.workloads.models.graph import TEXT
from tunebench.workloads.models.language import is_text_model
from tunebench.workloads.tasks.spec import DTYPES, FLOAT32, SpecError
from tunebench.workloads.tasks.training import BATCHNORMS, HEADS, OPTIMIZERS, PLAIN, Training, parse_training

app = typer.Typer(add_completion=False)


@app.command()
def params(
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="One of: " + ", ".join(COUNTED) + ".")
    ],
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="A method of the table.")] = "lorae",
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="YOLOv8: detect (default), segment or classify."),
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="Of every adapter.")] = 4,
    batchnorm: Annotated[
        str,
        typer.Option("--batchnorm", metavar="WHAT", help="As in a suite: " + ", ".join(BATCHNORMS) + "."),
    ] = PLAIN.batchnorm,
    head: Annotated[
        str, typer.Option("--head", metavar="WHAT", help="As in a suite: " + ", ".join(HEADS) + ".")
    ] = PLAIN.head,
    skip_grid: Annotated[
        str | None,
        typer.Option(
            "--skip-grid", metavar="GRID", help=f"As in a suite, of skip adapters: {', '.join(GRIDS)}."
        ),
    ] = None,
    skip_blocks: Annotated[
        str | None,
        typer.Option(
            "--skip-blocks", metavar="N", help="As in a suite, of skip adapters: all, or how many last."
        ),
    ] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="As in a suite: blocks run again in the backward pass.")
    ] = False,
    classes: Annotated[
        int | None, typer.Option("--classes", min=1, help="Default: those of the published size.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=1, metavar="PX", help="Side of a square input, or tokens of a text; for madds."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Predict a training step's memory at this batch."),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer", metavar="NAME", help=f"Whose state is in the memory: {', '.join(OPTIMIZERS)}."
        ),
    ] = None,
    free_mb: Annotated[
        float | None,
        typer.Option(
            "--free-mb", min=0, help="With it, the largest batch that fits (beyond interpreter and torch)."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="Whose memory: "
            + ", ".join(lab_memory.TAKINGS)
            + "; default: transformers for texts, else torch.",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="As in a suite: " + ", ".join(DTYPES) + ".")
    ] = FLOAT32,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, help="As in a suite: batches of an update.")
    ] = PLAIN.accumulate,
    quantized_base: Annotated[
        str | None,
        typer.Option("--quantized-base", metavar="FORM", help="As in a suite: " + ", ".join(FORMS) + "."),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", metavar="NAME", help="What fits on a board, e.g. raspberry-pi-4, or 'all'."),
    ] = None,
    taken_mb: Annotated[
        float | None,
        typer.Option(
            "--taken-mb",
            min=0,
            help="Of a board's memory: system, interpreter and torch (10^6 bytes); default "
            "of the engine, e.g. "
            + ", ".join(f"{taking.taken_mb:g} ({name})" for name, taking in lab_memory.TAKINGS.items())
            + ".",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count what a method trains on a network: parameters, the update's bytes, multiply-adds.

    Counted from layer shapes, nothing is built. Bytes are float32; multiply-adds are of one forward pass of one
    sample, adapters as branches beside the network (merged ones cost nothing: madds_base).
    """
    numbers = count(
        model, method, rank, task=task, classes=classes, size=size,
        batch=batch, optimizer=optimizer, free_mb=free_mb, board=board, taken_mb=taken_mb, batchnorm=batchnorm,
        head=head, engine=engine, skip_grid=skip_grid, skip_blocks=_number(skip_blocks), checkpoint=checkpoint,
        dtype=dtype, accumulate=accumulate, quantized_base=quantized_base,
    )  # fmt: skip
    typer.echo(json.dumps(numbers, indent=2, sort_keys=True) if as_json else table(numbers))


def count(
    model: str,
    method: str,
    rank: int,
    *,
    task: str | None = None,
    classes: int | None = None,
    size: int | None = None,
    batch: int | None = None,
    optimizer: str | None = None,
    free_mb: float | None = None,
    board: str | None = None,
    taken_mb: float | None = None,
    batchnorm: str = PLAIN.batchnorm,
    head: str = PLAIN.head,
    engine: str | None = None,
    skip_grid: str | None = None,
    skip_blocks: int | str | None = None,
    checkpoint: bool = False,
    dtype: str = FLOAT32,
    accumulate: int = PLAIN.accumulate,
    quantized_base: str | None = None,
) -> dict[str, Any]:
    """Count what a method trains on a network; return what the command prints as JSON.

    Returns:
        ``model, task, method, rank, classes, input`` (c, h, w), ``params`` (BatchNorm's scale and shift included, its
        statistics not), ``trainable``, ``statistics`` (values of BatchNorm's that are re-estimated), ``reduction_pct``
        (100 (1 - (trainable + statistics) / params)), ``update_b`` (bytes of both in float32), ``update_file_b`` (of
        the safetensors file that ships them: ``update_b`` and a header of names and shapes; 0 if nothing changes),
        ``batchnorm``, ``head``, ``checkpoint``, ``dtype``, ``accumulate`` and ``quantized_base`` (as asked for),
        ``skip_grid`` and ``skip_blocks`` (of skip adapters, else None),
        ``cache_sample_b`` (bytes that a sample's cached activations take; 0 without a cache), ``madds`` and
        ``madds_base`` (forward, one sample, with and without adapters), ``adapted`` (number of layers or,
        of skip adapters, of blocks), ``skipped`` (layer -> why it has no adapter); with ``batch``, ``optimizer``,
        ``free_mb`` or ``board`` also ``memory``
        (:class:`tunebench.workloads.methods.memory.Memory`, ``total_b``, ``batch``, ``optimizer``, ``engine``; with
        ``free_mb`` what :class:`tunebench.harness.lab.memory.Room` has, with ``board`` a row of it for every memory
        size in ``boards``).

    Raises:
        UsageError: unknown model, task, method, board or value of a key, or an input size that the network does not
            take.
    """
    if optimizer not in (None, *OPTIMIZERS):
        raise UsageError(f"--optimizer {optimizer!r}: use one of: {', '.join(OPTIMIZERS)}")
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype!r}: use one of: {', '.join(DTYPES)}")
    engine = engine or ("transformers" if is_text_model(model) else "torch")
    if engine not in lab_memory.TAKINGS:
        raise UsageError(f"--engine {engine!r}: use one of: {', '.join(lab_memory.TAKINGS)}")
    taking = lab_memory.TAKINGS[engine]

    def plan_of(side: int | None) -> plans.Plan:
        network = counted(model, task, classes, side)
        made = plans.plan(
            row, network, rank, training.batchnorm, training.head, skips=skips, checkpoint=checkpoint
        )
        made = made._replace(dtype=dtype, accumulate=accumulate)
        return with_quantized_base(made, method, parse_quantized_base(model, quantized_base))

    try:
        keys = {
            "optimizer": optimizer or PLAIN.optimizer, "batchnorm": batchnorm, "head": head, "accumulate": accumulate,
        }  # fmt: skip
        training = parse_training(keys)
        row = methods_table.method(method)
        skips = parse_skips(skip_grid, skip_blocks)
        plan = plan_of(size)
        _check_engine(engine, model, method, training, plan)
    except WorkloadError as error:
        raise UsageError(str(error)) from error

    def plan_at(side: int | None) -> plans.Plan:
        return plan if side is None else plan_of(side)

    memory: dict[str, Any] | None = None
    if (batch, optimizer, free_mb, board) != (None,) * 4:
        memory = predicted(plan_at, batch or 1, free_mb, training, engine)
    if memory is not None and board is not None:
        taken = taking.taken_mb if taken_mb is None else taken_mb
        memory |= {
            "taken_mb": taken,
            "boards": lab_memory.rows(
                plan_at, batch or 1, board, taken, training.state_floats, taking=taking
            ),
        }
    total = plan.graph.n_params
    counts, forward = plans.counts(plan), macs.forward_madds(plan)
    return {
        "model": model,
        "task": plan.graph.task,
        "method": method,
        "rank": rank if plan.has_adapters else None,
        "classes": _classes(plan.graph),
        "input": list(plan.graph.shape),
        "params": total,
        "batchnorm": batchnorm,
        "head": head,
        "checkpoint": checkpoint,
        "dtype": dtype,
        "accumulate": accumulate,
        "quantized_base": quantized_base,
        "skip_grid": skips.grid if plan.graph.added else None,
        "skip_blocks": skips.blocks if plan.graph.added else None,
        "cache_sample_b": 4 * counts.cache_floats,
        "trainable": counts.trainable,
        "statistics": counts.statistics,
        "reduction_pct": round(100.0 * (1.0 - counts.updated / total), 4),
        "update_b": counts.update_b,
        "update_file_b": file_b(plan, method),
        "madds": forward.base + forward.adapters,
        "madds_base": forward.base,
        "adapted": len(plan.adapters) + max(0, len(plan.graph.added) - 1),
        "skipped": plan.skipped,
        **({} if memory is None else {"memory": memory}),
    }


def _check_engine(engine: str, model: str, method: str, training: Training, plan: plans.Plan) -> None:
    """Refuse what an engine does not run, also where only its memory is asked for."""
    entry = engines.find_engine(engine)
    if engine != "torch" and not entry.runs(model, "cpu", 1):
        raise SpecError(f"engine {engine!r} runs {entry.limits}, not model {model!r}")
    engines.check_training(engine, training, model)
    engines.check_dtype(engine, plan.dtype, model)
    engines.check_plan(engine, method, plan)


def predicted(
    plan_at: Callable[[int | None], plans.Plan],
    batch: int,
    free_mb: float | None,
    training: Training = PLAIN,
    engine: str = "torch",
) -> dict[str, Any]:
    """Predict a training step's memory, and what fits into ``free_mb`` (10^6 bytes)."""
    taking = lab_memory.TAKINGS[engine]
    memory = taking.predict(plan_at(None), batch, training.state_floats)
    prediction: dict[str, Any] = {
        **memory._asdict(),
        "total_b": memory.total_b,
        "batch": batch,
        "optimizer": training.optimizer,
        "engine": engine,
    }
    if free_mb is not None:
        prediction |= vars(lab_memory.room(plan_at, batch, int(free_mb * 1e6), training.state_floats, taking))
    return prediction


def file_b(plan: plans.Plan, method: str) -> int:
    """Return the bytes of the float32 file that ships a method's update; 0 if it changes nothing.

    It holds the adapters and what changes besides, or the delta of what changes.
    """
    content = "adapter" if plan.has_adapters else "delta"
    if not plans.update_shapes(plan, content):
        return 0
    form = updates.Form(content, "float32", False)
    return sum(updates.foretold_b(plans.update_shapes(plan, content), form, method))


def _number(blocks: str | None) -> int | str | None:
    """Return the number that an option gives; other words are left to be refused."""
    return int(blocks) if blocks is not None and blocks.isdecimal() else blocks


def _classes(graph: Any) -> int:
    """Return the number of classes of the first output that classifies."""
    heads = [node for node in graph.layers if node.head and node.name.startswith("class")]
    return int(heads[0].channels_out)


def table(numbers: dict[str, Any]) -> str:
    """Return the count as text for people: one line for each number."""
    rank = "" if numbers["rank"] is None else f", rank {numbers['rank']}"
    side = "x".join(str(value) for value in numbers["input"])
    statistics = [f"  re-estimated  {numbers['statistics']:>14,} statistics of BatchNorm"] * bool(
        numbers["statistics"]
    )
    lines = [
        f"{numbers['model']} ({numbers['task']}, {numbers['classes']} classes), {numbers['method']}{rank}",
        f"  original      {numbers['params']:>14,} parameters",
        f"  trainable     {numbers['trainable']:>14,} parameters",
        *statistics,
        f"  reduction     {numbers['reduction_pct']:>14.2f} %",
        f"  update        {numbers['update_b']:>14,} bytes (float32; {numbers['update_file_b']:,} as a safetensors file)",
        f"  multiply-adds {numbers['madds']:>14,} a sample, forward, input {side}",
        f"    without adapters (or merged) {numbers['madds_base']:,}",
    ]
    if "memory" in numbers:
        lines += _memory_lines(numbers["memory"], texts=numbers["task"] == TEXT)
    if numbers["adapted"]:
        where = (
            "blocks" if methods_table.method(numbers["method"]).adapters == methods_table.SKIP else "layers"
        )
        grid = "" if numbers["skip_grid"] is None else f", pooled {numbers['skip_grid']}"
        lines.append(f"  adapters      {numbers['adapted']:>14,} {where}{grid}")
    if numbers["cache_sample_b"]:
        lines.append(f"  cache         {numbers['cache_sample_b']:>14,} bytes a sample")
    if numbers["checkpoint"]:
        lines.append("  checkpoint    blocks run again in the backward pass")
    if numbers["dtype"] != FLOAT32:
        lines.append(f"  dtype         {numbers['dtype']:>14}: maps; weights and updates stay {FLOAT32}")
    if numbers["quantized_base"] is not None:
        lines.append(
            f"  quantized     {numbers['quantized_base']:>14}: maps of the base; the rest stays {FLOAT32}"
        )
    if numbers["accumulate"] > 1:
        lines.append(f"  accumulate    {numbers['accumulate']:>14} batches an update")
    if numbers["skipped"]:
        reasons: dict[str, int] = {}
        for reason in numbers["skipped"].values():
            reasons[reason] = reasons.get(reason, 0) + 1
        lines += [f"    none on {number}: {reason}" for reason, number in reasons.items()]
    return "\n".join(lines)


def _memory_lines(memory: dict[str, Any], *, texts: bool) -> list[str]:
    what, unit = ("text", "tokens") if texts else ("square input", "px")
    mb = {name: f"{value / 1e6:.1f}" for name, value in memory.items() if name.endswith("_b")}
    lines = [
        f"  memory        {mb['total_b']:>14} MB predicted at batch {memory['batch']}, interpreter and "
        f"{lab_memory.TAKINGS[memory['engine']].besides} not in it",
        f"    weights {mb['weights_b']}, state of {memory['optimizer']} {mb['optimiser_b']}, a step at its peak "
        f"{mb['step_b']} (kept activations {mb['saved_b']}, gradients {mb['gradients_b']})",
    ]
    if "fits" in memory:
        word = {"yes": "fits", "perhaps": "may fit", "no": "does not fit"}[memory["fits"]]
        lines.append(
            f"    {word} into {mb['free_b']} MB; largest batch safe: {memory['batch_safe']}, at most "
            f"{memory['batch_at_most']}; largest {what} safe: {memory['side_safe_px']}, at most "
            f"{memory['side_at_most_px']} {unit}"
        )
    if "boards" in memory:
        lines += lab_memory.lines(memory["boards"], memory["batch"], memory["taken_mb"], unit)
    return lines
