"""Boards we do not have, as trees of files: what a board's sysfs, procfs and programs would answer.

``BOARDS["orin-nano-jp6"](folder)`` writes the tree and returns it as a :class:`Tree`. The paths and formats are
those of the kernels' sources and of public captures; the values are made up, with round products, so that a
test can say what must come out. The fixture ``simulated`` (tests/conftest.py) writes one of them into a test's folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CPU = "sys/devices/system/cpu/"
THERMAL = "sys/class/thermal/"


class Rail(NamedTuple):
    """One channel of an INA3221: volts and amperes as the chip gives them."""

    label: str
    millivolts: int = 0
    milliamperes: int = 0
    shunt_uohm: int = 5000

    @property
    def watts(self) -> float:
        return self.millivolts * self.milliamperes * 1e-6


@dataclasses.dataclass
class Tree:
    """A simulated board.

    Attributes:
        root: what the inventory calls ``simulated_root``.
        power: name of each rail's label -> the file (or files) that its power is read from.
        zones: type of each thermal zone -> its ``temp`` file (m°C).
    """

    root: Path
    power: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    zones: dict[str, Path] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.root)

    def write(self, name: str, text: str | int) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n" if isinstance(text, int) else text)
        return path

    def write_all(self, folder: str, files: dict[str, str | int]) -> None:
        for name, text in files.items():
            self.write(folder + name, text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def link(self, name: str, target: str) -> None:
        """A relative link, as sysfs has them: the tree can be moved."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(self.root / target, path.parent))

    def command(self, argv: Sequence[str], out: str, rc: int = 0, **more: object) -> Path:
        """Record what a program answers (see targets/agent/linux/programs.py)."""
        said = {"argv": list(argv), "rc": rc, "out": out, **more}
        return self.write(f".commands/{_recording_name(argv)}", json.dumps(said))

    def block(self, path: Path) -> None:
        """Make a file one whose reader waits for ever: a FIFO that nobody writes to."""
        path.unlink()
        os.mkfifo(path)

    def modes(self, current: int, names: dict[int, str]) -> None:
        """Power modes: nvpmodel's table, its answers, and what switching changes."""
        table = "".join(
            f"< POWER_MODEL ID={i} NAME={name} >\nCPU_ONLINE CORE_0 1\n\n" for i, name in names.items()
        )
        self.write("etc/nvpmodel.conf", table + f"< PM_CONFIG DEFAULT={current} >\n")
        for i, name in names.items():
            answer = f"NV Power Mode: {name}\n{i}\n"
            status = f"pmode:{i:04d} fmode:fanNull\n"
            if i == current:
                self.command(["nvpmodel", "-q"], answer)
                self.write("var/lib/nvpmodel/status", status)
            said = json.dumps({"argv": ["nvpmodel", "-q"], "rc": 0, "out": answer})
            writes = {".commands/nvpmodel_-q.json": said, "var/lib/nvpmodel/status": status}
            for prefix in ([], ["sudo", "-n"]):
                self.command([*prefix, "nvpmodel", "-m", str(i)], "", writes=writes)


def _recording_name(argv: Sequence[str]) -> str:
    return re.sub(r"[^A-Za-z0-9.\-]", "_", "_".join(argv)) + ".json"


# -- parts of a board ------------------------------------------------------------------------------


def _linux(
    tree: Tree,
    *,
    model: str,
    compatible: Sequence[str],
    kernel: str,
    pretty: str,
    ram_kib: int,
    cores: int,
    part: str,
) -> None:
    tree.write("proc/device-tree/model", model + "\0")
    tree.write("proc/device-tree/compatible", "".join(name + "\0" for name in compatible))
    tree.write("proc/device-tree/serial-number", "1234567890abcdef\0")
    tree.write("proc/sys/kernel/osrelease", kernel + "\n")
    tree.write("etc/os-release", f'PRETTY_NAME="{pretty}"\n')
    # ARMv8.0 cores (Cortex-A53, A57, A72) have no LSE atomics: some torch builds die on them.
    features = "fp asimd" if part in ("0xd03", "0xd07", "0xd08") else "fp asimd atomics"
    core = "processor\t: %d\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU part\t: %s\n\n"
    tree.write("proc/cpuinfo", "".join(core % (i, features, part) for i in range(cores)))
    tree.write(CPU + "online", f"0-{cores - 1}\n")
    tree.write(CPU + "possible", f"0-{cores - 1}\n")
    tree.write("proc/loadavg", "0.05 0.03 0.00 1/180 4242\n")
    tree.write("proc/uptime", "86400.00 340000.00\n")
    swap_kib = ram_kib // 2
    tree.write(
        "proc/meminfo",
        f"MemTotal: {ram_kib} kB\nMemFree: {ram_kib // 2} kB\nMemAvailable: {ram_kib * 3 // 4} kB\n"
        f"SwapTotal: {swap_kib} kB\nSwapFree: {swap_kib} kB\n",
    )
    tree.write(
        "proc/swaps", f"Filename\tType\tSize\tUsed\tPriority\n/dev/zram0\tpartition\t{swap_kib}\t0\t5\n"
    )
    tree.write("sys/block/zram0/mm_stat", "4096 74 12288 0 12288 0 0 0 0\n")
    tree.write("proc/vmstat", "pswpin 0\npswpout 0\npgmajfault 12\noom_kill 0\n")


def _cpufreq(
    tree: Tree, policies: Sequence[int], low_khz: int, high_khz: int, governor: str = "schedutil"
) -> None:
    for policy in policies:
        tree.write_all(
            f"{CPU}cpufreq/policy{policy}/",
            {
                "scaling_cur_freq": high_khz,
                "scaling_min_freq": low_khz,
                "scaling_max_freq": high_khz,
                "cpuinfo_min_freq": low_khz,
                "cpuinfo_max_freq": high_khz,
                "scaling_governor": governor + "\n",
                "scaling_available_governors": "conservative ondemand userspace powersave performance schedutil\n",
            },
        )
        tree.link(f"{CPU}cpu{policy}/cpufreq", f"{CPU}cpufreq/policy{policy}")


def _zones(tree: Tree, zones: dict[str, int], first: int = 0) -> None:
    for index, (kind, millidegrees) in enumerate(zones.items(), start=first):
        tree.write(f"{THERMAL}thermal_zone{index}/type", kind + "\n")
        tree.zones[kind] = tree.write(f"{THERMAL}thermal_zone{index}/temp", millidegrees)


def _cooling(tree: Tree, kinds: Sequence[str]) -> None:
    for index, kind in enumerate(kinds):
        folder = f"{THERMAL}cooling_device{index}/"
        tree.write_all(folder, {"type": kind + "\n", "cur_state": 0, "max_state": 3})


def _hwmon(tree: Tree, index: int, device: str, name: str, files: dict[str, str | int]) -> str:
    folder = f"sys/devices/{device}/hwmon/hwmon{index}/"
    tree.write_all(folder, {"name": name + "\n", **files})
    tree.link(f"sys/class/hwmon/hwmon{index}", folder)
    return folder


def _gpu(tree: Tree, node: str, device: str, top_hz: int) -> None:
    """The GPU's devfreq folder and its load file (per mille)."""
    folder = f"sys/devices/{device}/"
    tree.write(folder + "load", 0)
    tree.write_all(
        folder + f"devfreq/{node}/",
        {"cur_freq": top_hz, "min_freq": top_hz // 4, "max_freq": top_hz, "governor": "nvhost_podgov\n"},
    )
    tree.link(folder + f"devfreq/{node}/device", folder)
    tree.link(f"sys/class/devfreq/{node}", folder + f"devfreq/{node}")


def _ina3221_hwmon(tree: Tree, rails: Sequence[Rail], *, bus: int, address: str, index: int) -> None:
    """The kernel's own driver (JetPack 5 and newer)."""
    device = f"platform/bus@0/c240000.i2c/i2c-{bus}/{bus}-{address}"
    folder = _hwmon(
        tree,
        index,
        device,
        "ina3221",
        {"samples": 1, "update_interval": 0, "in7_label": "sum of shunt voltages\n"},
    )
    tree.write(f"sys/devices/{device}/name", "ina3221\n")
    tree.link(f"sys/bus/i2c/drivers/ina3221/{bus}-{address}", f"sys/devices/{device}")
    tree.link(f"sys/bus/i2c/devices/{bus}-{address}", f"sys/devices/{device}")
    for channel, rail in enumerate(rails, start=1):
        shunt_uv = rail.milliamperes * rail.shunt_uohm // 1000
        tree.write_all(
            folder,
            {
                f"in{channel}_label": rail.label + "\n",
                f"in{channel}_enable": 1,
                f"shunt{channel}_resistor": rail.shunt_uohm,
                f"curr{channel}_crit": 32760,
                f"curr{channel}_max": 32760,
                f"curr{channel}_crit_alarm": 0,
                f"curr{channel}_max_alarm": 0,
                f"in{channel + 3}_input": shunt_uv,
            },
        )
        tree.power[rail.label] = [
            tree.write(folder + f"in{channel}_input", rail.millivolts),
            tree.write(folder + f"curr{channel}_input", rail.milliamperes),
        ]
    tree.write(folder + "in7_input", 0)
    tree.write(folder + "curr4_input", sum(rail.milliamperes for rail in rails))


def _ina3221_iio(tree: Tree, rails: Sequence[Rail], *, bus: int, address: str, index: int) -> None:
    """NVIDIA's driver (JetPack 4): power in mW."""
    device = f"sys/devices/7000c400.i2c/i2c-{bus}/{bus}-{address}"
    folder = f"{device}/iio:device{index}/"
    tree.write(f"{device}/name", "ina3221x\n")
    tree.write(folder + "name", "ina3221x\n")
    tree.write(folder + "running_mode", "1\n")
    tree.link(f"sys/bus/i2c/drivers/ina3221x/{bus}-{address}", device)
    tree.link(f"sys/bus/i2c/devices/{bus}-{address}", device)
    tree.link(f"sys/bus/iio/devices/iio:device{index}", folder)
    for channel, rail in enumerate(rails):
        tree.write_all(
            folder,
            {
                f"rail_name_{channel}": rail.label + "\n",
                f"in_voltage{channel}_input": rail.millivolts,
                f"in_current{channel}_input": rail.milliamperes,
                f"in_power{channel}_trigger_input": 0,
                f"in_current{channel}_trigger_input": 0,
                f"polling_delay_{channel}": "0 ms\n",
                f"crit_current_limit_{channel}": 32760,
            },
        )
        power_mw = rail.millivolts * rail.milliamperes // 1000
        tree.power[rail.label] = [tree.write(folder + f"in_power{channel}_input", power_mw)]


def _l4t(tree: Tree, release: int, revision: str, board: str) -> None:
    line = f"# R{release} (release), REVISION: {revision}, GCID: 38968081, BOARD: {board}, EABI: aarch64, DATE: made up\n"
    tree.write("etc/nv_tegra_release", line)


# -- Jetson ----------------------------------------------------------------------------------------

_JP4 = {"kernel": "4.9.253-tegra", "pretty": "Ubuntu 18.04.6 LTS"}
_JP5 = {"kernel": "5.10.104-tegra", "pretty": "Ubuntu 20.04.6 LTS"}
_JP6 = {"kernel": "5.15.148-tegra", "pretty": "Ubuntu 22.04.5 LTS"}
_JP7 = {"kernel": "6.8.12-tegra", "pretty": "Ubuntu 24.04.3 LTS"}
NANO_RAILS = (Rail("POM_5V_IN", 5000, 400), Rail("POM_5V_GPU", 5000, 48), Rail("POM_5V_CPU", 5000, 120))
NX_RAILS = (Rail("VDD_IN", 5000, 800), Rail("VDD_CPU_GPU_CV", 5000, 200), Rail("VDD_SOC", 5000, 240))
TX2_RAILS = (
    (
        Rail("VDD_SYS_GPU", 19000, 8, 10000),
        Rail("VDD_SYS_SOC", 19000, 36, 10000),
        Rail("VDD_4V0_WIFI", 4700, 0, 10000),
    ),
    (
        Rail("VDD_IN", 19000, 160),
        Rail("VDD_SYS_CPU", 19000, 20, 10000),
        Rail("VDD_SYS_DDR", 19000, 44, 10000),
    ),
)
XAVIER_RAILS = (
    (Rail("GPU", 19000, 8), Rail("CPU", 19000, 16), Rail("SOC", 19000, 48)),
    (Rail("CV", 19000, 0), Rail("VDDRQ", 19000, 32), Rail("SYS5V", 5000, 296)),
)
AGX_ORIN_RAILS = (
    (
        Rail("VDD_GPU_SOC", 20000, 120, 2000),
        Rail("VDD_CPU_CV", 20000, 40, 2000),
        Rail("VIN_SYS_5V0", 5000, 800, 2000),
    ),
    (Rail("NC", 0, 0, 2000), Rail("VDDQ_VDD2_1V8AO", 5000, 60, 2000), Rail("NC", 0, 0, 2000)),
)
_JP4_ZONES = {
    "AO-therm": 39500,
    "CPU-therm": 36500,
    "GPU-therm": 36000,
    "PLL-therm": 34000,
    "PMIC-Die": 100000,
}
_ORIN_ZONES = {
    "cpu-thermal": 47687,
    "gpu-thermal": 48625,
    "cv0-thermal": -256000,
    "cv1-thermal": -256000,
    "cv2-thermal": -256000,
    "soc0-thermal": 47468,
    "soc1-thermal": 48250,
    "soc2-thermal": 46718,
    "tj-thermal": 48625,
}
_ORIN_COOLING = (
    "pwm-fan",
    "cpufreq-cpu0",
    "devfreq-17000000.gpu",
    "cpu-throttle-alert",
    "gpu-throttle-alert",
    "hot-surface-alert",
)


def nano_jp4(
    root: Path, *, rails: Sequence[Rail] = NANO_RAILS, bus: int = 6, address: str = "0040", index: int = 0
) -> Tree:
    tree = Tree(root)
    _linux(
        tree,
        model="NVIDIA Jetson Nano Developer Kit",
        compatible=["nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"],
        ram_kib=4059500,
        cores=4,
        part="0xd07",
        **_JP4,
    )
    _l4t(tree, 32, "7.1", "t210ref")
    _cpufreq(tree, [0], 102000, 1479000)
    _zones(tree, {**_JP4_ZONES, "thermal-fan-est": 36250})
    _cooling(tree, ["pwm-fan", "cpu-balanced", "gpu-balanced"])
    _gpu(tree, "57000000.gpu", "gpu.0", 921600000)
    _ina3221_iio(tree, rails, bus=bus, address=address, index=index)
    tree.modes(0, {0: "MAXN", 1: "5W"})
    return tree


def tx2_jp4(root: Path, *, rails: Sequence[Sequence[Rail]] = TX2_RAILS, bus: int = 0, index: int = 0) -> Tree:
    tree = Tree(root)
    _linux(
        tree,
        model="quill",
        compatible=["nvidia,p2597-0000+p3310-1000", "nvidia,jetson-tx2", "nvidia,tegra186"],
        ram_kib=8040448,
        cores=6,
        part="0xd07",
        **_JP4,
    )
    _l4t(tree, 32, "7.1", "t186ref")
    _cpufreq(tree, [0, 1], 345600, 2035200)
    kinds = {
        "BCPU-therm": 37500,
        "MCPU-therm": 37500,
        "GPU-therm": 35000,
        "PLL-therm": 37500,
        "AO-therm": 37000,
    }
    _zones(tree, {**kinds, "Tboard_tegra": 32000, "Tdiode_tegra": 34250, "PMIC-Die": 100000})
    _cooling(tree, ["pwm-fan", "cpu-balanced"])
    _gpu(tree, "17000000.gp10b", "17000000.gp10b", 1300500000)
    for offset, group in enumerate(rails):
        _ina3221_iio(tree, group, bus=bus, address=f"004{offset}", index=index + offset)
    tree.modes(3, {0: "MAXN", 1: "MAXQ", 2: "MAXP_CORE_ALL", 3: "MAXP_CORE_ARM", 4: "MAXP_CORE_DENVER"})
    return tree


def xavier_nx_jp4(root: Path, *, rails: Sequence[Rail] = NX_RAILS, bus: int = 7, index: int = 0) -> Tree:
    tree = Tree(root)
    _xavier_nx(tree, _JP4)
    _l4t(tree, 32, "7.1", "t186ref")
    kinds = {key: value for key, value in _JP4_ZONES.items() if key != "PLL-therm"}
    _zones(tree, {**kinds, "AUX-therm": 41500})
    _cooling(tree, ["pwm-fan", "cpu-balanced"])
    _gpu(tree, "17000000.gv11b", "17000000.gv11b", 1109250000)
    _ina3221_iio(tree, rails, bus=bus, address="0040", index=index)
    tree.modes(2, {0: "MODE_15W_2CORE", 1: "MODE_15W_4CORE", 2: "MODE_15W_6CORE", 3: "MODE_10W_2CORE"})
    return tree


def xavier_nx_jp5(root: Path, *, rails: Sequence[Rail] = NX_RAILS, bus: int = 7, index: int = 4) -> Tree:
    tree = Tree(root)
    _xavier_nx(tree, _JP5)
    _l4t(tree, 35, "4.1", "t186ref")
    _zones(
        tree,
        {"CPU-therm": 43500, "GPU-therm": 43000, "AUX-therm": 41500, "AO-therm": 41500, "PMIC-Die": 50000},
    )
    _cooling(tree, ["pwm-fan", "thermal-cpufreq-0", "thermal-devfreq-0"])
    _gpu(tree, "17000000.gv11b", "17000000.gv11b", 1109250000)
    _ina3221_hwmon(tree, rails, bus=bus, address="0040", index=index)
    tree.modes(8, {2: "MODE_15W_6CORE", 6: "MODE_20W_2CORE", 8: "MODE_20W_6CORE"})
    return tree


def _xavier_nx(tree: Tree, system: dict[str, str]) -> None:
    _linux(
        tree,
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=["nvidia,p3509-0000+p3668-0000", "nvidia,p3668-0000", "nvidia,tegra194"],
        ram_kib=7958500,
        cores=6,
        part="0x004",
        **system,
    )
    _cpufreq(tree, [0, 2, 4], 115200, 1907200)


def agx_xavier_jp4(
    root: Path, *, rails: Sequence[Sequence[Rail]] = XAVIER_RAILS, bus: int = 1, index: int = 0
) -> Tree:
    tree = Tree(root)
    _linux(
        tree,
        model="Jetson-AGX",
        compatible=["nvidia,p2972-0000", "nvidia,tegra194"],
        ram_kib=32693248,
        cores=8,
        part="0x004",
        **_JP4,
    )
    _l4t(tree, 32, "7.1", "t186ref")
    _cpufreq(tree, [0, 2, 4, 6], 115200, 2265600)
    kinds = {key: value for key, value in _JP4_ZONES.items() if key != "PLL-therm"}
    _zones(tree, {**kinds, "AUX-therm": 36000, "Tboard_tegra": 37000})
    _cooling(tree, ["pwm-fan", "cpu-balanced"])
    _gpu(tree, "17000000.gv11b", "17000000.gv11b", 1377000000)
    for offset, group in enumerate(rails):
        _ina3221_iio(tree, group, bus=bus, address=f"004{offset}", index=index + offset)
    tree.modes(2, {0: "MAXN", 1: "MODE_10W", 2: "MODE_15W", 3: "MODE_30W_ALL"})
    return tree


def orin_nano_jp6(
    root: Path, *, rails: Sequence[Rail] = NX_RAILS, bus: int = 1, address: str = "0040", index: int = 1
) -> Tree:
    tree = Tree(root)
    _orin(tree, "NVIDIA Jetson Orin Nano Developer Kit", "p3768-0000+p3767-0005", [0, 4], 6, 7834336, 1510400)
    _ina3221_hwmon(tree, rails, bus=bus, address=address, index=index)
    tree.modes(2, {0: "15W", 1: "25W", 2: "MAXN_SUPER", 3: "7W"})
    return tree


def orin_nx_jp6(root: Path, *, rails: Sequence[Rail] = NX_RAILS, bus: int = 1, index: int = 2) -> Tree:
    tree = Tree(root)
    model = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    _orin(tree, model, "p3768-0000+p3767-0000", [0, 4], 8, 15938160, 1984000)
    _ina3221_hwmon(tree, rails, bus=bus, address="0040", index=index)
    tree.modes(2, {0: "MAXN", 1: "10W", 2: "15W", 3: "25W"})
    return tree


def agx_orin_jp6(
    root: Path, *, rails: Sequence[Sequence[Rail]] = AGX_ORIN_RAILS, bus: int = 1, index: int = 3
) -> Tree:
    tree = Tree(root)
    model = "NVIDIA Jetson AGX Orin Developer Kit"
    _orin(tree, model, "p3737-0000+p3701-0005", [0, 4, 8], 12, 64349008, 2201600)
    for offset, group in enumerate(rails):
        _ina3221_hwmon(tree, group, bus=bus, address=f"004{offset}", index=index + offset)
    tree.modes(2, {0: "MAXN", 1: "MODE_15W", 2: "MODE_30W", 3: "MODE_50W"})
    return tree


THOR_RAILS = (
    Rail("VDD_GPU", 12000, 750, 1000),
    Rail("VDD_CPU_SOC_MSS", 12000, 500, 1000),
    Rail("VIN_SYS_5V0", 5000, 1000, 2000),
)


def agx_thor_jp7(
    root: Path, *, rails: Sequence[Rail] = THOR_RAILS, vin_uw: int = 30000000, bus: int = 2, index: int = 3
) -> Tree:
    """Its input on an INA238, a GPU whose load no file tells, whose zone gives nothing while it sleeps."""
    tree = Tree(root)
    model = "NVIDIA Jetson AGX Thor Developer Kit"
    compatible = ["nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"]
    _linux(tree, model=model, compatible=compatible, ram_kib=128773844, cores=14, part="0xd83", **_JP7)
    _l4t(tree, 39, "2.0", "generic")
    _cpufreq(tree, [0], 972000, 2601000)
    zones = {"cpu-thermal": 53700, "gpu-thermal": 0, "soc012-thermal": 55100, "tj-thermal": 55100}
    _zones(tree, zones)
    tree.zones["gpu-thermal"].write_text("")
    _cooling(tree, ("pwm-fan", "gpu-throttle-alert"))
    for node, top_hz in (("gpu-gpc-0", 1575000000), ("gpu-nvd-0", 1692000000)):
        tree.write_all(
            f"sys/class/devfreq/{node}/",
            {"cur_freq": 315000000, "min_freq": 315000000, "max_freq": top_hz, "governor": "nvhost_podgov\n"},
        )
    _ina3221_hwmon(tree, rails, bus=bus, address="0040", index=index)
    device = f"platform/bus@0/c610000.i2c/i2c-{bus}/{bus}-0044"
    files = {"in0_input": 3, "in1_input": 20000, "curr1_input": vin_uw // 20000, "power1_input": vin_uw}
    folder = _hwmon(tree, index + 1, device, "ina238", {**files, "label": "VIN\n", "update_interval": 4})
    tree.power["VIN"] = [tree.root / folder / "power1_input"]
    tree.modes(1, {0: "MAXN", 1: "120W", 2: "90W"})
    return tree


def _orin(
    tree: Tree, model: str, parts: str, policies: Sequence[int], cores: int, ram_kib: int, high_khz: int
) -> None:
    module = parts.split("+")[1]
    compatible = [f"nvidia,{parts}", f"nvidia,{module}", "nvidia,tegra234"]
    _linux(tree, model=model, compatible=compatible, ram_kib=ram_kib, cores=cores, part="0xd42", **_JP6)
    _l4t(tree, 36, "4.3", "generic")
    _cpufreq(tree, policies, 115200, high_khz)
    _zones(tree, _ORIN_ZONES)
    _cooling(tree, _ORIN_COOLING)
    _gpu(tree, "17000000.gpu", "platform/bus@0/17000000.gpu", 612000000)
    _hwmon(tree, 0, "platform/pwm-fan", "pwmfan", {"pwm1": 80})
    _hwmon(tree, 9, "platform/soctherm-oc-event", "soctherm_oc", {"oc1_throt_cnt": 0, "oc3_throt_cnt": 0})


# -- Raspberry Pi ----------------------------------------------------------------------------------

#: Amperes and volts of the Pi 5's PMIC; the products' sum is 2.5 W.
PMIC_RAILS = {
    "3V7_WL_SW": (0.1, 3.7),
    "3V3_SYS": (0.1, 3.3),
    "1V8_SYS": (0.1, 1.8),
    "DDR_VDD2": (0.1, 1.1),
    "DDR_VDDQ": (0.0, 0.6),
    "1V1_SYS": (0.2, 1.1),
    "0V8_SW": (0.3, 0.8),
    "VDD_CORE": (1.25, 0.8),
    "3V3_DAC": (0.0, 3.3),
    "3V3_ADC": (0.0, 3.3),
    "0V8_AON": (0.0, 0.8),
    "HDMI": (0.01, 5.0),
}


def pmic_text(rails: dict[str, tuple[float, float]] = PMIC_RAILS, supply_v: float = 5.1) -> str:
    """What ``vcgencmd pmic_read_adc`` prints; the numbers in parentheses differ between A and V, and have no gap."""
    n = len(rails)
    lines = [f"{name + '_A':>14} current({i})={a:.8f}A" for i, (name, (a, _)) in enumerate(rails.items())]
    lines += [f"{name + '_V':>14} volt({i + n})={v:.8f}V" for i, (name, (_, v)) in enumerate(rails.items())]
    supply, battery = f"volt({2 * n})={supply_v:.8f}V", f"volt({2 * n + 1})=0.00000000V"
    return "\n".join([*lines, f"{'EXT5V_V':>14} {supply}", f"{'BATT_V':>14} {battery}\n"])


def pi_5(root: Path, *, rails: dict[str, tuple[float, float]] = PMIC_RAILS, supply_v: float = 5.1) -> Tree:
    tree = Tree(root)
    _pi(
        tree,
        "5 Model B Rev 1.0",
        "5-model-b",
        "bcm2712",
        8245696,
        1500000,
        2400000,
        "0xd0b",
        "soc@107c000000",
    )
    tree.command(["vcgencmd", "pmic_read_adc"], pmic_text(rails, supply_v))
    tree.command(["vcgencmd", "measure_clock", "arm"], "frequency(0)=2400033024\n")
    _hwmon(tree, 1, "platform/1f00000000.adc", "rp1_adc", {"temp1_input": 41000, "in1_input": 1480})
    _hwmon(tree, 3, "platform/cooling_fan", "pwmfan", {"fan1_input": 2950, "pwm1": 75})
    return tree


def pi_4(root: Path) -> Tree:
    tree = Tree(root)
    _pi(tree, "4 Model B Rev 1.4", "4-model-b", "bcm2711", 3884292, 600000, 1800000, "0xd08")
    tree.command(["vcgencmd", "measure_clock", "arm"], "frequency(48)=1800457088\n")
    return tree


def pi_3(root: Path) -> Tree:
    tree = Tree(root)
    _pi(tree, "3 Model B Plus Rev 1.3", "3-model-b-plus", "bcm2837", 931964, 600000, 1400000, "0xd03")
    tree.command(["vcgencmd", "measure_clock", "arm"], "frequency(45)=1400000000\n")
    return tree


def zero_2_w(root: Path) -> Tree:
    tree = Tree(root)
    _pi(tree, "Zero 2 W Rev 1.0", "model-zero-2-w", "bcm2837", 426988, 600000, 1000000, "0xd03")
    tree.command(["vcgencmd", "measure_clock", "arm"], "frequency(45)=1000000000\n")
    return tree


def _pi(
    tree: Tree,
    model: str,
    board: str,
    soc: str,
    ram_kib: int,
    low_khz: int,
    high_khz: int,
    part: str,
    bus: str = "soc",
) -> None:
    _linux(
        tree,
        model=f"Raspberry Pi {model}",
        compatible=[f"raspberrypi,{board}", f"brcm,{soc}"],
        kernel="6.12.47+rpt-rpi-v8",
        pretty="Debian GNU/Linux 12 (bookworm)",
        ram_kib=ram_kib,
        cores=4,
        part=part,
    )
    _cpufreq(tree, [0], low_khz, high_khz, "ondemand")
    _zones(tree, {"cpu-thermal": 48312})
    _cooling(tree, ["pwm-fan"] if soc == "bcm2712" else [])
    _hwmon(tree, 0, "virtual/thermal/thermal_zone0", "cpu_thermal", {"temp1_input": 48312})
    _hwmon(tree, 2, f"platform/{bus}/{bus}:firmware/raspberrypi-hwmon", "rpi_volt", {"in0_lcrit_alarm": 0})
    tree.write(f"sys/devices/platform/{bus}/{bus}:firmware/get_throttled", "0\n")
    tree.command(["vcgencmd", "get_throttled"], "throttled=0x0\n")
    tree.command(["vcgencmd", "measure_temp"], "temp=48.3'C\n")
    tree.command(
        ["vcgencmd", "version"],
        "2025/05/08 15:13:17 \nCopyright (c) 2012 Broadcom\nversion 69471177 (release)\n",
    )
    if soc != "bcm2712":
        tree.command(["vcgencmd", "pmic_read_adc"], 'error=1 error_msg="Command not registered"\n', rc=255)


BOARDS: dict[str, Callable[[Path], Tree]] = {
    "nano-jp4": nano_jp4,
    "tx2-jp4": tx2_jp4,
    "xavier-nx-jp4": xavier_nx_jp4,
    "xavier-nx-jp5": xavier_nx_jp5,
    "agx-xavier-jp4": agx_xavier_jp4,
    "orin-nano-jp6": orin_nano_jp6,
    "orin-nx-jp6": orin_nx_jp6,
    "agx-orin-jp6": agx_orin_jp6,
    "agx-thor-jp7": agx_thor_jp7,
    "pi-5": pi_5,
    "pi-4": pi_4,
    "pi-3": pi_3,
    "zero-2-w": zero_2_w,
}
