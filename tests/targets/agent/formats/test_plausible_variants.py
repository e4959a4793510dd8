"""Outputs that nobody has seen yet: other orders, prefixes, units and rails, parts that are missing, lines cut anywhere.

Hypothesis makes them up. What each holds is known, so that a total must be the right one, or none with a reason; and
whatever else is told must be what was put in. A wrong number is what these tests look for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.targets.agent.formats import read

EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True)

#: Board -> its input rail (if it has one), the parts that add up (if they are known to), other rails.
BOARDS: dict[str, tuple[str | None, tuple[str, ...], tuple[str, ...]]] = {
    "orin nano": ("VDD_IN", (), ("VDD_CPU_GPU_CV", "VDD_SOC")),
    "nano": ("POM_5V_IN", (), ("POM_5V_GPU", "POM_5V_CPU")),
    "thor": ("VIN", ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"), ()),
    "agx orin": (None, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ("VDDQ_VDD2_1V8AO",)),
    "agx xavier": (None, ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), ()),
    "unknown": (None, (), ("VDD_CORE0", "VDD_MEM")),
}
SCOPES = {"VDD_IN": "module", "POM_5V_IN": "board_input", "VIN": "board_input"}
NEW_RAILS = st.lists(
    st.from_regex(r"VDD_[A-Z]{2,5}_[A-Z0-9]{2,4}", fullmatch=True).filter(
        lambda name: "NC" not in name and not any(name in sum(BOARDS[board][1:], ()) for board in BOARDS)
    ),
    max_size=2,
    unique=True,
)


@st.composite
def boards(draw) -> tuple[str | None, tuple[str, ...], dict[str, int]]:
    """A board's rails in mW: an input is above all its parts, as physics has it."""
    known_input, parts, others = BOARDS[draw(st.sampled_from(sorted(BOARDS)))]
    names = [*parts, *others, *draw(NEW_RAILS)]
    powers = {name: draw(st.integers(1, 9000)) for name in names}
    if known_input is not None:
        powers[known_input] = sum(powers.values()) + draw(st.integers(0, 9000))
    return known_input, parts, powers


def right_total(
    known_input: str | None, parts: tuple[str, ...], powers: Mapping[str, int]
) -> tuple[float, str] | None:
    """The total in W and its scope, worked out from what is there; none if it cannot be told."""
    if known_input is not None and known_input in powers:
        return powers[known_input] / 1e3, SCOPES[known_input]
    if parts and all(part in powers for part in parts):
        total = sum(powers[part] for part in parts)
        return (total / 1e3, "rails_sum") if total >= max(powers.values()) else None
    return None


def told(reading, kind: str) -> dict[str, float | None]:
    return {each["site"]: each["value"] for each in reading.channels if each["kind"] == kind}


def same(reading, expected: tuple[float, str] | None) -> None:
    """A right total, or none with a reason; and where it can be told, it is."""
    if expected is None:
        assert reading.total_w is None, (reading.total_w, reading.total_scope)
    else:
        assert reading.total_w is not None, reading.reason
        assert abs(reading.total_w - expected[0]) < 1e-6
        assert reading.total_scope == expected[1]
    assert (reading.total_w is None) == bool(reading.reason)


# -- tegrastats ------------------------------------------------------------------------------------

PREFIXES = st.sampled_from(
    [
        "",
        "03-01-2026 08:00:00 ",
        "[2026-03-01 08:00:00.125] Tegrastats: ",
        "Mar  1 08:00:00 board tegrastats[812]: ",
        "2026-03-01T08:00:00+0100 board tegrastats[812]: 03-01-2026 08:00:00 ",
        "2026-03-01T08:00:00.125456789Z ",
        "orin-1  | ",
        "<30>1 2026-03-01T08:00:00Z GPU CPU 812 - - ",
    ]
)


@st.composite
def cores(draw) -> tuple[str, dict[str, float], dict[str, float]]:
    """The text of the cores, and what it says: loads and clocks (Hz)."""
    each_has_clock, name = draw(st.booleans()), draw(st.sampled_from(["CPU", "cpu"]))
    loads, clocks, words = {}, {}, []
    common = None if each_has_clock else draw(st.one_of(st.none(), st.integers(100, 2600)))
    for index in range(draw(st.integers(1, 6))):
        if draw(st.booleans()) and index:
            words.append("off")
            continue
        load, clock = draw(st.integers(0, 100)), draw(st.integers(100, 2600)) if each_has_clock else common
        loads[f"cpu{index}"] = load / 100
        if clock is not None:
            clocks[f"cpu{index}"] = clock * 1e6
        words.append(f"{load}%@{clock}" if each_has_clock else f"{load}%")
    return f"{name} [{','.join(words)}]" + (f"@{common}" if common else ""), loads, clocks


@st.composite
def graphics(draw) -> tuple[str, float | None, float | None]:
    """The text of the GPU, its load and its clock (Hz)."""
    name = draw(st.sampled_from(["GR3D_FREQ", "GR3D"]))
    load = draw(st.one_of(st.none(), st.integers(0, 100)))
    clocks = draw(st.lists(st.integers(1, 1600), max_size=3))
    if load is None and not clocks:
        return "", None, None
    text = name + (f" {load}%" if load is not None else " ")
    if len(clocks) == 1 and draw(st.booleans()):
        text += f"@{clocks[0]}"
    elif clocks:
        text += f"@[{','.join(map(str, clocks))}]"
    return text, None if load is None else load / 100, max(clocks) * 1e6 if clocks else None


@st.composite
def rails_text(draw, powers: Mapping[str, int]) -> str:
    form = draw(st.sampled_from(["{0}/{1}", "{0}mW/{1}mW", "{0}mW/{1}mW/{1}mW", "{0}mW", "{0} mW/{1} mW"]))
    order = draw(st.permutations(sorted(powers)))
    return " ".join(f"{name} " + form.format(powers[name], draw(st.integers(0, 9999))) for name in order)


@st.composite
def lines_of_tegrastats(draw):
    known_input, parts, powers = draw(boards())
    lost = draw(st.lists(st.sampled_from(sorted(powers)), max_size=1))
    left = {name: power for name, power in powers.items() if name not in lost}
    cpu, gpu = draw(cores()), draw(graphics())
    temperatures = {name: draw(st.integers(200, 990)) / 10 for name in ("cpu", "tj", "soc0")}
    sections = [
        cpu[0],
        gpu[0],
        draw(st.sampled_from(["", "EMC 4%@1600", "EMC_FREQ @4266", "EMC_FREQ 0%"])),
        draw(st.sampled_from(["", "APE 174", "AVP 3%@80 VDE 0", "NVDEC off VIC_FREQ 729 APE 25"])),
        draw(st.sampled_from(["", "SWAP 12/2048MB (cached 1MB)", "IRAM 0/252kB(lfb 252kB)"])),
        " ".join(f"{name}@{value}C" for name, value in temperatures.items()),
    ]
    head = f"RAM {draw(st.integers(1, 9999))}/{draw(st.integers(10000, 99999))}MB (lfb 1x4MB)"
    middle = [section for section in draw(st.permutations(sections)) if section]
    # A single number is a rail's only with its unit, and tells nothing of a cut.
    line = " ".join([head, *middle, draw(rails_text(left))])
    return known_input, parts, left, line, cpu, gpu, temperatures


@EXAMPLES
@given(lines_of_tegrastats(), PREFIXES, st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_tegrastats_in_any_order_with_any_rails(made, prefix, end):
    known_input, parts, powers, line, cpu, gpu, temperatures = made
    before = (
        "RAM 1/2MB (lfb 1x4MB) CPU [99%@9] GR3D_FREQ 98%@[7] cpu@11.5C gpu@12.5C NEW_IN 7mW/7mW SWAP 3/4MB"
    )
    reading = read("tegrastats", f"{prefix}{before}{end}{prefix}{line}{end}")
    same(reading, right_total(known_input, parts, powers))
    assert reading.details["lines"] == 2
    assert told(reading, "power") == {name: power / 1e3 for name, power in powers.items()}
    assert told(reading, "temperature") == temperatures
    loads, clocks = told(reading, "load"), told(reading, "frequency")
    expected_clocks = dict(cpu[2]) if gpu[2] is None else {**cpu[2], "gpu": gpu[2]}
    assert clocks == expected_clocks
    assert {name: load for name, load in loads.items() if load is not None} == (
        dict(cpu[1]) if gpu[1] is None else {**cpu[1], "gpu": gpu[1]}
    )
    assert (loads.get("gpu") is None) == (gpu[1] is None)


@EXAMPLES
@given(lines_of_tegrastats(), PREFIXES, st.data())
def test_tegrastats_cut_anywhere_has_no_half_number(made, prefix, data):
    known_input, parts, powers, line, _, _, temperatures = made
    text = prefix + line
    reading = read("tegrastats", text[: data.draw(st.integers(0, len(text)))])
    assert told(reading, "power").items() <= {name: power / 1e3 for name, power in powers.items()}.items()
    assert told(reading, "temperature").items() <= temperatures.items()
    assert (reading.total_w is None) == bool(reading.reason)
    if reading.total_w is not None:
        present = {name: round((value or 0) * 1e3) for name, value in told(reading, "power").items()}
        same(reading, right_total(known_input, parts, present))


# -- dumps of power monitors -------------------------------------------------------------------------


@st.composite
def monitors(draw):
    """Devices' files by their folder; the rails that they make up (mW), and those whose files were lost."""
    known_input, parts, powers = draw(boards())
    names = draw(st.permutations(sorted(powers)))
    folders: dict[str, dict[str, str]] = {}
    true: dict[str, int] = {}
    number = draw(st.integers(0, 9))
    while names:
        chip = draw(
            st.sampled_from(
                ["ina3221", "ina3221x", "ina219", "ina226", "ina228", "ina230", "ina238", "ina260"]
            )
        )
        count = 3 if chip.startswith("ina3221") else 1
        here, names = names[:count], names[count:]
        number += draw(st.integers(1, 3))
        files = {"name": chip}
        for index, name in enumerate(here):
            volts, amperes = draw(st.sampled_from([1000, 5000, 20000])), draw(st.integers(1, 9000))
            true[name] = volts * amperes // 1000
            if chip == "ina3221x":
                files |= {f"rail_name_{index}": name, f"in_power{index}_input": str(true[name])}
                files[f"in_power{index}_trigger_input"] = "0"
            elif chip == "ina3221":
                files |= {f"in{index + 1}_label": name, f"in{index + 1}_input": str(volts)}
                files |= {f"curr{index + 1}_input": str(amperes), f"in{index + 4}_input": "1240"}
            else:
                files |= {draw(st.sampled_from(["label", "in1_label"])): name, "in0_input": "3"}
                files |= {"in1_input": str(volts), "curr1_input": str(amperes)}
                if draw(st.booleans()):
                    files["power1_input"] = str(volts * amperes)
        folders[f"/sys/class/hwmon/hwmon{number}/"] = files
    if known_input is not None:  # physics again: the input is above all its parts
        true = _above(known_input, true, folders)
    return known_input, parts, true, folders


def _above(known_input: str, true: dict[str, int], folders: dict[str, dict[str, str]]) -> dict[str, int]:
    """Set the input's amperes so that its power is above the sum of the others."""
    for files in folders.values():
        for label, name in list(files.items()):
            if name != known_input:
                continue
            rest = sum(power for rail, power in true.items() if rail != known_input)
            if label.startswith("rail_name_"):
                files["in_power" + label[-1] + "_input"] = str(rest + 7)
                true[known_input] = rest + 7
                return true
            index = label[2] if label.startswith("in") else "1"
            volts = int(files[f"in{index}_input"])
            amperes = rest * 1000 // volts + 7
            files[f"curr{index}_input"] = str(amperes)
            if "power1_input" in files:
                files["power1_input"] = str(volts * amperes)
            true[known_input] = volts * amperes // 1000
    return true


def grep(folder: str, name: str, value: str) -> str:
    return f"{folder}{name}:{value}"


FORMS = {
    "grep": grep,
    "logged grep": lambda folder, name, value: f"Mar  1 08:00:00 board dump[812]: {folder}{name}:{value}",
    "head": lambda folder, name, value: f"==> {folder}{name} <==\n{value}\n",
    "find": lambda folder, name, value: f"---\n{folder}{name}\n---\n{value}",
    "find without rules": lambda folder, name, value: f"{folder}{name}\n{value}",
    "loop": lambda folder, name, value: f"{folder}{name}: {value}",
    "loop, two lines": lambda folder, name, value: f"{folder}{name}:\n{value}",
    "assignment": lambda folder, name, value: f'{folder}{name}="{value}"',
    "session": lambda folder, name, value: f"board:~$ cat {folder}{name}\n{value}",
}


@EXAMPLES
@given(monitors(), st.sampled_from(sorted(FORMS)), st.data())
def test_dumps_of_monitors_in_any_form_and_order(made, form, data):
    known_input, parts, powers, folders = made
    entries = [(folder, name, value) for folder, files in folders.items() for name, value in files.items()]
    noise = [("/sys/class/hwmon/hwmon90/", "name", "pwmfan"), ("/sys/class/hwmon/hwmon90/", "pwm1", "80")]
    noise += [
        ("/sys/class/hwmon/hwmon91/", "name", "ucsi_source_psy"),
        ("/sys/class/hwmon/hwmon91/", "curr1_input", "9"),
    ]
    noise += [
        ("/sys/class/hwmon/hwmon91/", "in1_label", "VIN"),
        ("/sys/class/hwmon/hwmon91/", "in1_input", "9000"),
    ]
    order = data.draw(st.permutations(entries + noise))
    reading = read("ina3221", "\n".join(FORMS[form](*entry) for entry in order) + "\n")
    same(reading, right_total(known_input, parts, powers))
    values = told(reading, "power")
    assert {name: round((value or 0) * 1e3, 6) for name, value in values.items()} == powers


@EXAMPLES
@given(monitors(), st.sampled_from(sorted(FORMS)), st.data())
def test_dumps_whose_files_are_lost_or_unreadable_have_the_rails_that_are_left(made, form, data):
    known_input, parts, powers, folders = made
    entries = [(folder, name, value) for folder, files in folders.items() for name, value in files.items()]
    at = data.draw(st.integers(0, len(entries) - 1))
    folder, name, _ = entries[at]
    error = data.draw(st.sampled_from([None, "", f"cat: {folder}{name}: Input/output error", "<error>"]))
    hurt = [entry for index, entry in enumerate(entries) if index != at]
    if error is not None:
        hurt.insert(data.draw(st.integers(0, len(hurt))), (folder, name, error))
    reading = read("ina3221", "\n".join(FORMS[form](*entry) for entry in hurt) + "\n")
    values = {rail: value for rail, value in told(reading, "power").items() if value is not None}
    for rail, value in values.items():
        assert abs(value * 1e3 - powers.get(rail, -1)) < 1e-3, (rail, value, powers)
    assert (reading.total_w is None) == bool(reading.reason)
    if reading.total_w is not None:
        same(
            reading,
            right_total(known_input, parts, {rail: round(value * 1e3) for rail, value in values.items()}),
        )


@EXAMPLES
@given(monitors(), st.sampled_from(["-u", "-j"]))
def test_what_lm_sensors_prints_of_monitors(made, option):
    known_input, parts, powers, folders = made
    text, chips, true = "", {}, {}
    for index, files in enumerate(folders.values()):
        if files["name"] == "ina3221x" or "label" in files:
            continue  # lm-sensors reads no iio devices, and no `label`
        chip = f"{files['name']}-i2c-{index}-40"
        text, chips[chip] = text + f"{chip}\nAdapter: x\n", {"Adapter": "x"}
        for name, value in files.items():
            if not name.endswith("_input"):
                continue
            stem = name.removesuffix("_input")
            label = files.get(f"{stem}_label", stem)
            whole = int(value) / (1e6 if stem.startswith("power") else 1e3)
            text += f"{label}:\n  {name}: {whole:.6f}\n"
            chips[chip][label] = {name: whole}
        true |= {rail: powers[rail] for file, rail in files.items() if file.endswith("_label")}
    reading = read("ina3221", text if option == "-u" else json.dumps(chips))
    same(reading, right_total(known_input, parts, true) if true else None)
    assert {rail: round((value or 0) * 1e3, 3) for rail, value in told(reading, "power").items()} == true


# -- the Pi's tools ---------------------------------------------------------------------------------

PMIC_RAILS = [
    "3V7_WL_SW",
    "3V3_SYS",
    "1V8_SYS",
    "DDR_VDD2",
    "1V1_SYS",
    "VDD_CORE",
    "HDMI",
    "NEW_RAIL",
    "0V8_AON",
]


@st.composite
def sweeps(draw) -> tuple[list[str], float]:
    """The lines of a whole answer of the power chip, in any order, and the sum of its products."""
    names = draw(st.lists(st.sampled_from(PMIC_RAILS), min_size=1, unique=True))
    amperes = [draw(st.integers(0, 900)) / 1000 for _ in names]
    volts = [draw(st.integers(600, 3800)) / 1000 for _ in names]
    lines = [
        f"{name + '_A':>14} current({i})={a:.8f}A"
        for i, (name, a) in enumerate(zip(names, amperes, strict=True))
    ]
    lines += [
        f"{name + '_V':>14} volt({i + len(names)})={v:.8f}V"
        for i, (name, v) in enumerate(zip(names, volts, strict=True))
    ]
    lines += [
        f" EXT5V_V volt({2 * len(names)})=5.10000000V",
        f"  BATT_V volt({2 * len(names) + 1})=0.01000000V",
    ]
    return draw(st.permutations(lines)), sum(a * v for a, v in zip(amperes, volts, strict=True))


@EXAMPLES
@given(sweeps(), PREFIXES, st.data())
def test_the_power_chip_tells_its_whole_sum_or_none(made, prefix, data):
    lines, total_w = made
    lost = data.draw(st.sets(st.sampled_from(lines)))
    separator = data.draw(st.sampled_from(["\n", "\r\n", " ; "]))
    reading = read("pmic", separator.join(prefix + line for line in lines if line not in lost))
    assert (reading.total_w is None) == bool(reading.reason)
    if reading.total_w is not None:
        assert abs(reading.total_w - total_w) < 1e-6
    elif not lost:
        assert total_w == 0 or total_w > 5 * 5.1


@EXAMPLES
@given(sweeps(), st.data())
def test_an_answer_of_the_power_chip_cut_anywhere_tells_its_whole_sum_or_none(made, data):
    lines, total_w = made
    text = "\n".join(lines)
    begin = data.draw(st.integers(0, len(text) // 4))
    reading = read("pmic", text[begin : len(text) - data.draw(st.integers(0, len(text) // 2))])
    assert reading.total_w is None or abs(reading.total_w - total_w) < 1e-6


@st.composite
def answers(draw) -> tuple[str, str, str, float]:
    """An answer of vcgencmd as a script prints it; its site, kind and value."""
    kind = draw(st.sampled_from(["temperature", "voltage", "frequency"]))
    named = draw(st.booleans())
    lead = draw(st.sampled_from([":\t", ": ", " ", "="])) if named else ""
    if kind == "temperature":
        value = draw(st.integers(100, 990)) / 10
        name = "pmic" if named else "soc"
        return (name if named else "") + lead + f"temp={value}'C", name, kind, value
    if kind == "voltage":
        value = draw(st.integers(6000, 14000)) / 10000
        name = draw(st.sampled_from(["core", "sdram_c", "sdram_i"])) if named else "core"
        return (name if named else "") + lead + f"volt={value}V", name, kind, value
    value, number = draw(st.integers(0, 2400000000)), draw(st.integers(0, 60))
    name = draw(st.sampled_from(["arm", "core", "h264", "v3d", "emmc"])) if named else f"clock {number}"
    return (name if named else "") + lead + f"frequency({number})={value}", name, kind, float(value)


@EXAMPLES
@given(st.lists(answers(), min_size=1, max_size=5), PREFIXES, st.sampled_from(["\n", "\r\n", ", ", " | "]))
def test_answers_of_vcgencmd_keep_their_names(made, prefix, separator):
    text = separator.join((prefix if "\n" in separator else "") + answer for answer, *_ in made)
    reading = read("vcgencmd", text)
    assert reading.total_w is None
    expected = {(site, kind): value for _, site, kind, value in made}
    assert {(each["site"], each["kind"]): each["value"] for each in reading.channels} == expected
