"""Libraries built for Arm boards give the losses of this machine's: run under qemu-user (its times are no evidence)."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from tunebench.workloads import seeds
from tunebench.workloads.engines.native import Session, build
from tunebench.workloads.engines.native.layout import chain_layout
from tunebench.workloads.engines.native.trunk import folded_norm
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
    plan, spec, rows = made.plan, made.spec, []
    steps = EPOCHS * made.steps_per_epoch
    rows += [
        array("i", [len(plan.graph.layers), len(plan.adapters), EPOCHS, steps]),
        Session.numbers(spec),
        *chain_layout(plan).arrays(),
    ]
    optimizer = OPTIMIZERS.index(spec.training.optimizer)
    rows.append(array("i", [made.n_train, spec.batch, plan.caches, 0, made.n_train, optimizer, 0]))
    rows += [made.data.need("finetune_x").array(), made.data.need("finetune_y").array()]
    for index, layer in enumerate(plan.graph.layers):
        weight, bias = (made.weights.need(f"layer{index}.{part}").array() for part in ("weight", "bias"))
        rows += [weight, bias, *folded_norm(made.weights, f"layer{index}", layer.norm, len(bias))]
    for item in plan.adapters:
        count = item.extractor[0] * item.extractor[1]
        rows.append(seeds.kaiming_uniform(count, item.fan_in, spec.seed, item.name))
        rows.append(array("f", [0.0] * (item.mapper[0] * item.mapper[1])))
    rows.append(
        array("i", [i for epoch in range(EPOCHS) for i in seeds.order(made.n_train, spec.seed, epoch)])
    )
    rows.append(array("d", learning_rates(spec.training, spec.lr, steps)))
    with path.open("wb") as file:
        for row in rows:
            file.write(struct.pack("<q", len(row) * row.itemsize) + row.tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(BOARDS))
@pytest.mark.parametrize("case", CASES)
def test_a_boards_library_gives_the_losses_of_this_machine(
    variant, case, digits, library, tmp_path, losses_of
):
    emulator, root = BOARDS[variant]
    if not build.has_zig():
        pytest.skip("ziglang is not installed: pip install ziglang")
    if shutil.which(emulator) is None or not Path(root).is_dir():
        packages = "qemu-user libc6-arm64-cross libc6-armhf-cross"
        pytest.skip(f"no {emulator}, or no C library in {root}: apt install {packages}")
    row = build.VARIANTS[variant]
    driver, file = tmp_path / "driver", tmp_path / "case"
    line = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        row.triple,
        "-O1",
        str(DRIVER),
        "-o",
        str(driver),
        "-ldl",
    ]
    subprocess.run(line, check=True, capture_output=True)
    made = digits(case.split()[0], epochs=EPOCHS, **CASES[case])
    write_case(made, file)
    ended = subprocess.run(
        [emulator, "-L", root, str(driver), build.build(variant).path, str(file)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    theirs = [float(line) for line in ended.stdout.split()]
    ours = losses_of(Session(made, library=library), EPOCHS)
    assert len(theirs) == len(ours) >= 100
    for step, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        assert abs(a - b) <= 1e-6 + 1e-4 * abs(b), (step, a, b)
