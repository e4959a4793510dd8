"""NVIDIA Jetson: all have an INA3221, few have a rail that is the total; a Thor's is on an INA238."""

from __future__ import annotations

from tunebench.targets.boards.kind import BoardKind
from tunebench.targets.boards.model import BoardModel, Power, System

KIND = BoardKind("jetson", steady_clock=True, torch="jetson")

_JP4 = System("JetPack 4.6 (Ubuntu 18.04)", "3.6", "2.27", "4.6")
_JP5 = System("JetPack 5.1 (Ubuntu 20.04)", "3.8", "2.31", "5.1")
_JP6 = System("JetPack 6.2 (Ubuntu 22.04)", "3.10", "2.35", "6.2")
_INA = "INA3221"
_THROTTLE_JP4 = "cooling devices' cur_state, scaling_max_freq below cpuinfo_max_freq"
_THROTTLE = _THROTTLE_JP4 + ", INA3221 curr*_crit_alarm and curr*_max_alarm"
_THROTTLE_ORIN = _THROTTLE + ", oc*_throt_cnt where present"
_CARRIER = "the carrier board, and everything that is plugged into it"
_NEEDS_CARRIER = "the carrier board and the supply's losses: VDD_IN is the module alone"
_SHARED = "CPU and GPU share the memory: CUDA allocations are not in a process's RSS"

NANO = BoardModel(
    name="Jetson Nano",
    page="jetson-nano",
    kind=KIND.name,
    compatible=("nvidia,jetson-nano", "nvidia,p3450-*"),
    model_pattern=r"Jetson Nano",
    soc="tegra210",
    cores="4 x Cortex-A57, 128 Maxwell GPU cores (sm_53)",
    isa="ARMv8.0-A",
    lse=False,
    ram_gb=(2.0, 4.0),
    power=Power(("POM_5V_IN",), "board_input", _INA, 0.040, "the supply's own losses"),
    needs_meter="wall power; the 5 V input is measured on the board",
    throttle=_THROTTLE_JP4,
    systems=(_JP4,),
    notes=(_SHARED, "Python 3.6 and glibc 2.27: no wheel of PyPI's torch fits"),
)
TX2 = BoardModel(
    name="Jetson TX2",
    page="jetson-tx2",
    kind=KIND.name,
    compatible=(
        "nvidia,jetson-tx2",
        "nvidia,p2771-*",
        "nvidia,p3489-*",
        "nvidia,p3509-0000+p3636-*",
        "nvidia,quill",
    ),
    model_pattern=r"(Jetson TX2|^quill|^lightning)",
    soc="tegra186",
    cores="4 x Cortex-A57 + 2 x Denver 2, 256 Pascal GPU cores (sm_62)",
    isa="ARMv8.0-A",
    lse=False,
    ram_gb=(4.0, 8.0),
    power=Power(("VDD_IN",), "module", _INA, 0.153, _CARRIER),
    needs_meter=_NEEDS_CARRIER,
    throttle=_THROTTLE_JP4,
    systems=(_JP4,),
    notes=(_SHARED, "Denver (cpu1, cpu2) and A57 differ: never mix them in one measurement"),
)
XAVIER_NX = BoardModel(
    name="Jetson Xavier NX",
    page="jetson-xavier-nx",
    kind=KIND.name,
    compatible=("nvidia,*+p3668-*", "nvidia,p3668-*", "nvidia,jetson-xavier-nx"),
    model_pattern=r"Xavier NX",
    soc="tegra194",
    cores="6 x Carmel, 384 Volta GPU cores (sm_72)",
    isa="ARMv8.2-A",
    lse=True,
    ram_gb=(8.0, 16.0),
    power=Power(("VDD_IN",), "module", _INA, 0.040, _CARRIER),
    needs_meter=_NEEDS_CARRIER,
    throttle=_THROTTLE,
    systems=(_JP4, _JP5),
    notes=(_SHARED,),
)
AGX_XAVIER = BoardModel(
    name="Jetson AGX Xavier",
    page="jetson-agx-xavier",
    kind=KIND.name,
    compatible=(
        "nvidia,p2972-*",
        "nvidia,*+p2888-*",
        "nvidia,jetson-xavier",
        "nvidia,jetson-xavier-industrial",
    ),
    model_pattern=r"(AGX Xavier|^Jetson-AGX)",
    soc="tegra194",
    cores="8 x Carmel, 512 Volta GPU cores (sm_72)",
    isa="ARMv8.2-A",
    lse=True,
    ram_gb=(16.0, 32.0, 64.0),
    power=Power(("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), "rails_sum", _INA, None, _CARRIER),
    needs_meter="the total: no rail of the module carries it, the sum of six does not see the carrier board",
    throttle=_THROTTLE,
    systems=(_JP4, _JP5),
    notes=(_SHARED, "steps of about 154 mW a rail"),
)
ORIN_NANO_NX = BoardModel(
    name="Jetson Orin Nano / Orin NX",
    page="jetson-orin-nano-nx",
    kind=KIND.name,
    compatible=("nvidia,*+p3767-*", "nvidia,p3767-*"),
    model_pattern=r"(Orin Nano|Orin NX)",
    soc="tegra234",
    cores="6 or 8 x Cortex-A78AE, up to 1024 Ampere GPU cores (sm_87)",
    isa="ARMv8.2-A",
    lse=True,
    ram_gb=(4.0, 8.0, 16.0),
    power=Power(("VDD_IN",), "module", _INA, 0.040, _CARRIER),
    needs_meter=_NEEDS_CARRIER,
    throttle=_THROTTLE_ORIN,
    systems=(_JP5, _JP6),
    notes=(_SHARED, "zones of engines that are off say -256 C: off, not cold"),
)
AGX_ORIN = BoardModel(
    name="Jetson AGX Orin",
    page="jetson-agx-orin",
    kind=KIND.name,
    compatible=("nvidia,*+p3701-*", "nvidia,p3701-*"),
    model_pattern=r"AGX Orin",
    soc="tegra234",
    cores="8 or 12 x Cortex-A78AE, up to 2048 Ampere GPU cores (sm_87)",
    isa="ARMv8.2-A",
    lse=True,
    ram_gb=(32.0, 64.0),
    power=Power(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), "rails_sum", _INA, None, _CARRIER),
    needs_meter="the total: no rail of the module carries it, the sum of three does not see the carrier board",
    throttle=_THROTTLE_ORIN,
    systems=(_JP5, _JP6),
    notes=(_SHARED, "steps of about 400 mW for GPU_SOC and CPU_CV: nothing below 1 W can be told apart"),
)
AGX_THOR = BoardModel(
    name="Jetson AGX Thor",
    page="jetson-agx-thor",
    kind=KIND.name,
    compatible=("nvidia,*+p3834-*", "nvidia,p3834-*"),
    model_pattern=r"AGX Thor",
    soc="tegra264",
    cores="14 x Neoverse V3AE, 2560 Blackwell GPU cores (sm_110)",
    isa="ARMv9.2-A",
    lse=True,
    ram_gb=(64.0, 128.0),
    power=Power(("VIN",), "board_input", "INA238", None, "the supply's own losses"),
    needs_meter="wall power; the kit's input (VIN) is measured on its carrier board",
    throttle=_THROTTLE + ", oc*_event_cnt where present",
    notes=(
        _SHARED,
        "the GPU's load is told by NVML alone (nvidia-smi): gpu_load stays empty",
        "its GPU's zone gives no temperature while the GPU has no power",
    ),
)

BOARDS: tuple[BoardModel, ...] = (NANO, TX2, XAVIER_NX, AGX_XAVIER, ORIN_NANO_NX, AGX_ORIN, AGX_THOR)
