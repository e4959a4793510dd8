"""Libraries built for Arm boards give the losses of this machine's: run under qemu-user (its times are no evidence)."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.workloads.engines.native.drawn import drawn_task, flat_network, odd_network
from tunebench.workloads import seeds
from tunebench.workloads.engines.native import Session, build, memory, network
from tunebench.workloads.engines.native.head import head_of
from tunebench.workloads.engines.native.layout import LayerRow, Layout, chain_layout
from tunebench.workloads.engines.native.net import compile_net
from tunebench.workloads.engines.native.trunk import compile_trunk, constants, folded_layer, folded_norm
from tunebench.workloads.models.graph import product
from tunebench.workloads.tasks.training import OPTIMIZERS, learning_rates

DRIVER = Path(__file__).parent / "driver.c"
#: variant -> (emulator, folder of the C library)
BOARDS = {
    "cortex-a53": ("qemu-aarch64", "/usr/aarch64-linux-gnu"),
    "cortex-a72": ("qemu-aarch64", "/usr/aarch64-linux-gnu"),
    "cortex-a76": ("qemu-aarch64", "/usr/aarch64-linux-gnu"),
    "armhf": ("qemu-arm", "/usr/arm-linux-gnueabihf"),
}
EPOCHS = 5
#: plain SGD, and rules whose square roots and quotients each processor estimates in its own way
CASES = {
    "skip2-lora": {},
    "ft-all-lora": {},
    "skip2-lora adamw": {"optimizer": "adamw", "lr": 0.003},
    "ft-all-lora adamw": {
        "optimizer": "adamw", "lr": 0.003, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.1, "lora_plus": 4.0,
    },
    "lora-all momentum": {"optimizer": "momentum", "lr": 0.002},
}  # fmt: skip


def write_case(made, path):
    """Everything that the kernels are given, in the driver's order."""
    plan = made.plan
    rows = _settings(made, chain_layout(plan), len(plan.graph.layers))
    rows += [made.data.need("finetune_x").array(), made.data.need("finetune_y").array()]
    for index, layer in enumerate(plan.graph.layers):
        weight, bias = (made.weights.need(f"layer{index}.{part}").array() for part in ("weight", "bias"))
        rows += [weight, bias, *folded_norm(made.weights, f"layer{index}", layer.norm, len(bias))]
    for item in plan.adapters:
        rows += _adapter(item.extractor[0] * item.extractor[1], item.mapper[0] * item.mapper[1], item, made)
    _write(rows + _order(made), path)


def write_network_case(made, path):
    """The same for what trains behind a network's trunk, which follows the adapters."""
    head = head_of(made.plan)
    layers, rank = head.layout.layers, head.layout.rank
    rows = _settings(made, head.layout, bool(head.layer), kind=1)
    rows += [array("f", [0.0]), made.data.need("finetune_y").array()]
    nodes = {node.name: node for node in head.graph.nodes}
    if head.layer:
        weight, _, bias = folded_layer(nodes[head.layer], made.weights)
        rows += [weight, bias, *folded_norm(made.weights, "", False, len(bias))]
    for start, name in zip(head.layout.adapters, head.extractors, strict=True):
        item = SimpleNamespace(name=name[0], fan_in=name[1])
        rows += _adapter(rank * layers[start[0]].n_in, rank * layers[-1].n_out, item, made)
    _write(rows + _trunk(made, head) + _order(made), path)


def write_adapted_case(made, path):
    """The same for a network whose layers carry adapters: it stands before them."""
    program = compile_net(made.plan, memory.VECTOR_FLOATS)
    classes = made.plan.graph.nodes[-1].shape[0]
    layout = Layout((LayerRow(0, classes),), (), made.plan.rank, (False, True), fed=True)
    rows = _settings(made, layout, 0, kind=2, beside=len(program.adapters))
    rows += [array("f", [0.0]), made.data.need("finetune_y").array()]
    image_b = product(made.plan.graph.shape)
    rows.append(array("i", [len(program.nodes), len(program.grids), len(program.layers), image_b]))
    rows += [
        array("i", [value for row in table for value in row]) for table in (program.nodes, program.grids)
    ]
    rows += [array("i", program.sizes), made.data.need("finetune_x").array()]
    rows.append(array("i", [index for index, _ in program.layers]))
    for _, node in program.layers:
        rows += folded_layer(node, made.weights)
    for item in program.adapters:
        rows += _adapter(product(item.extractor), product(item.mapper), item, made)
    _write(rows + _order(made), path)


def _settings(made, layout, n_set, kind=0, beside=0):
    spec, training = made.spec, made.spec.training
    adapters = len(layout.adapters)
    counts = [
        len(layout.layers),
        adapters,
        EPOCHS,
        EPOCHS * made.steps_per_epoch,
        n_set,
        kind,
        adapters + beside,
    ]
    sizes = [
        made.n_train,
        spec.batch,
        made.plan.caches,
        0,
        made.n_train,
        OPTIMIZERS.index(training.optimizer),
        kind > 0,
        made.plan.frozen_extractors,
        beside,
        made.plan.rank,
    ]
    return [array("i", counts), Session.numbers(spec), *layout.arrays(), array("i", sizes)]


def _adapter(n_first, n_second, item, made):
    first = seeds.kaiming_uniform(n_first, item.fan_in, made.spec.seed, item.name)
    return [first, array("f", [0.0] * n_second)]


def _trunk(made, head):
    program = compile_trunk(head.graph, head.given, memory.VECTOR_FLOATS)
    image_b = product(head.graph.shape)
    sizes = [len(program.ops), len(program.maps), len(program.outputs), program.chunk, program.arena]
    rows = [array("i", [*sizes, len(program.nodes), image_b])]
    rows += [array("i", [value for row in table for value in row]) for table in (program.ops, program.maps)]
    rows += [array("i", program.outputs), array("i", [index for index, _ in program.nodes])]
    for _, node in program.nodes:
        constant = node.op == "normalise"
        rows += [array("f"), *constants(node)] if constant else folded_layer(node, made.weights)
    return [*rows, made.data.need("finetune_x").array()]


def _order(made):
    spec, steps = made.spec, EPOCHS * made.steps_per_epoch
    order = [i for epoch in range(EPOCHS) for i in seeds.order(made.n_train, spec.seed, epoch)]
    return [array("i", order), array("d", learning_rates(spec.training, spec.lr, steps))]


def _write(rows, path):
    with path.open("wb") as file:
        for row in rows:
            file.write(struct.pack("<q", len(row) * row.itemsize) + row.tobytes())


@pytest.fixture(scope="module")
def driver_for(tmp_path_factory):
    """Function (variant) -> the program that runs a case through a board's library, built once for each variant."""
    folder = tmp_path_factory.mktemp("drivers")

    def built(variant):
        driver = folder / variant
        if not driver.exists():
            zig = [sys.executable, "-m", "ziglang", "cc", "-target", build.VARIANTS[variant].triple]
            subprocess.run(
                [*zig, "-O1", str(DRIVER), "-o", str(driver), "-ldl"], check=True, capture_output=True
            )
        return str(driver)

    return built


def _losses_on(variant, file, driver_for):
    """Run a case through a board's library in its emulator."""
    emulator, root = BOARDS[variant]
    if not build.has_zig():
        pytest.skip("ziglang is not installed: pip install ziglang")
    if shutil.which(emulator) is None or not Path(root).is_dir():
        packages = "qemu-user libc6-arm64-cross libc6-armhf-cross"
        pytest.skip(f"no {emulator}, or no C library in {root}: apt install {packages}")
    ended = subprocess.run(
        [emulator, "-L", root, driver_for(variant), build.build(variant).path, str(file)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [float(line) for line in ended.stdout.split()]


def _assert_same(theirs, ours):
    assert len(theirs) == len(ours)
    for step, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        assert abs(a - b) <= 1e-6 + 1e-4 * abs(b), (step, a, b)


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(BOARDS))
@pytest.mark.parametrize("case", CASES)
def test_a_boards_library_gives_the_losses_of_this_machine(
    variant, case, digits, library, tmp_path, losses_of, driver_for
):
    made = digits(case.split()[0], epochs=EPOCHS, **CASES[case])
    write_case(made, tmp_path / "case")
    ours = losses_of(Session(made, library=library), EPOCHS)
    assert len(ours) >= 100
    _assert_same(_losses_on(variant, tmp_path / "case", driver_for), ours)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("variant", "model", "method"),
    [
        ("armhf", "resnet-small", "ft-last-cached"),
        ("cortex-a53", "squeezenet-small", "lora-last-cached"),
        ("armhf", "efficientnet-lite0", "skip2-lora"),  # borders on one side, windows of 5
        ("cortex-a53", "efficientnet-lite0", "skip2-lora"),
    ],
)
def test_a_boards_library_gives_this_machines_losses_behind_a_trunk(
    variant, model, method, small, library, tmp_path, losses_of, driver_for
):
    made = small(method, model, batch=3, epochs=EPOCHS, optimizer="adamw", lr=0.002)
    write_network_case(made, tmp_path / "case")
    theirs = _losses_on(variant, tmp_path / "case", driver_for)
    _assert_same(theirs, losses_of(network.Session(made, library=library), EPOCHS))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["armhf", "cortex-a53"])
@pytest.mark.parametrize("network_of", [odd_network, flat_network])
def test_a_boards_library_gives_this_machines_losses_of_adapters_in_any_network(
    network_of, variant, library, tmp_path, losses_of, driver_for
):
    made = drawn_task(network_of(), "lora-all", 3, epochs=EPOCHS, lr=0.02, clip=1.0)
    write_adapted_case(made, tmp_path / "case")
    theirs = _losses_on(variant, tmp_path / "case", driver_for)
    _assert_same(theirs, losses_of(network.Session(made, library=library), EPOCHS))


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("variant", "model", "method"),
    [("armhf", "squeezenet-small", "lorae"), ("cortex-a53", "resnet-small", "lorae")],
)
def test_a_boards_library_gives_this_machines_losses_of_adapters_in_the_trunk(
    variant, model, method, small, library, tmp_path, losses_of, driver_for
):
    made = small(method, model, batch=3, epochs=EPOCHS, optimizer="adamw", lr=0.0005, clip=1.0)
    write_adapted_case(made, tmp_path / "case")
    theirs = _losses_on(variant, tmp_path / "case", driver_for)
    _assert_same(theirs, losses_of(network.Session(made, library=library), EPOCHS))
