"""What loggers and terminals put around a tool's lines is taken off; what a shell says instead is told as it is.

Forms as loggers print them; numbers made up.
"""

from __future__ import annotations

import json

import pytest

from tunebench.targets.agent.formats import read
from tunebench.targets.agent.formats.logs import plain_lines
from tunebench.targets.agent.formats.refusals import refusal

FIRST = (
    "RAM 2101/7620MB (lfb 1203x4MB) SWAP 0/3810MB (cached 0MB) CPU [8%@806,off] GR3D_FREQ 0% cpu@44.5C tj@44.5C "
    "VDD_IN 4880mW/4880mW VDD_CPU_GPU_CV 640mW/640mW VDD_SOC 1480mW/1480mW"
)
LAST = (
    "RAM 3350/7620MB (lfb 990x4MB) SWAP 5/3810MB (cached 0MB) CPU [62%@1728,off] GR3D_FREQ 93%@[612] cpu@55.3C tj@56.1C "
    "VDD_IN 14320mW/9600mW VDD_CPU_GPU_CV 6410mW/3525mW VDD_SOC 2890mW/2185mW"
)


def json_line(key: str, line: str, **more: object) -> str:
    return json.dumps({key: line, **more})


#: Logger -> how it keeps a line; N is the number of the second.
LOGGERS = {
    "nothing": "{line}",
    "a service": "[2026-03-01 08:00:0{n}.125] Tegrastats: {line}",
    "tegrastats itself": "03-01-2026 08:00:0{n} {line}",
    "syslog": "Mar  1 08:00:0{n} board tegrastats[812]: {line}",
    "syslog, from tegrastats with its time": "Mar  1 08:00:0{n} board tegrastats[812]: 03-01-2026 08:00:0{n} {line}",
    "rsyslog, high precision": "2026-03-01T08:00:0{n}.125456+01:00 board tegrastats[812]: {line}",
    "RFC 5424": "<30>1 2026-03-01T08:00:0{n}Z board tegrastats 812 - - {line}",
    "journalctl -o short-iso": "2026-03-01T08:00:0{n}+0100 board tegrastats[812]: {line}",
    "journalctl -o short-unix": "1772352000.12545{n} board tegrastats[812]: {line}",
    "journalctl -o short-monotonic": "[12345.67890{n}] board tegrastats[812]: {line}",
    "journalctl -o with-unit": "Sun 2026-03-01 08:00:0{n} UTC board stats.service[812]: {line}",
    "ts": "Mar 01 08:00:0{n} {line}",
    "ts -s %.s": "0.12345{n} {line}",
    "docker logs -t": "2026-03-01T08:00:0{n}.125456789Z {line}",
    "docker compose": "orin-1  | {line}",
    "kubectl logs --prefix": "[pod/stats-0/tegrastats] {line}",
    "glog": "I0301 08:00:0{n}.125456   812 monitor.cc:42] {line}",
    "Python": "2026-03-01 08:00:0{n},125 INFO board.monitor {line}",
    "key=value": 'time="2026-03-01T08:00:0{n}Z" level=info msg="{line}"',
    "a table": "2026-03-01 08:00:0{n},board,{line},ok",
    "capitals and a date with strokes": "UTC 03/01/2026 08:00:0{n} {line}",
    "colours": "\x1b[32m08:00:0{n}\x1b[0m \x1b[1m{line}\x1b[0m",
    "a terminal's title": "\x1b]0;board\x07{line}\r",
}
WRAPPERS = {
    "docker json-file": lambda line: json_line(
        "log", line + "\n", stream="stdout", time="2026-03-01T08:00:00Z"
    ),
    "journalctl -o json": lambda line: json_line("MESSAGE", line, _PID="812", PRIORITY="6"),
    "structured": lambda line: json_line("msg", line, level="info", ts=1772352000.1),
}


def wrapped(logger: str, line: str, n: int) -> str:
    if logger in WRAPPERS:
        return str(WRAPPERS[logger](line))
    return LOGGERS[logger].format(line=line, n=n)


@pytest.mark.parametrize("logger", [*LOGGERS, *WRAPPERS])
def test_a_loggers_lines_of_tegrastats_are_samples_of_their_own(logger):
    plain = read("tegrastats", LAST)
    text = "\n".join(wrapped(logger, line, n) for n, line in enumerate((FIRST, LAST)))
    reading = read("tegrastats", text)
    assert reading.details["lines"] == 2
    assert (reading.total_w, reading.total_scope, reading.channels) == (14.32, "module", plain.channels)


@pytest.mark.parametrize("logger", ["syslog", "docker json-file", "colours", "docker logs -t"])
def test_other_words_of_a_log_belong_to_no_sample(logger):
    noise = ["-- Boot 5a1b --", "systemd[1]: Started stats.", "kernel: usb 1-1: new device", "{not json"]
    text = "\n".join([noise[0], wrapped(logger, FIRST, 0), *noise[1:], wrapped(logger, LAST, 1), noise[2]])
    reading = read("tegrastats", text)
    assert (reading.details["lines"], reading.total_w) == (2, 14.32)
    assert reading.channels == read("tegrastats", LAST).channels


def test_a_line_that_a_terminal_broke_is_one_sample():
    words = LAST.split(" ")
    for at in range(6, len(words), 3):
        if words[at].startswith(("(", "9")) or words[at - 1].isupper():
            continue  # a name and its number belong together
        text = FIRST + "\n" + " ".join(words[:at]) + "\n" + " ".join(words[at:])
        reading = read("tegrastats", text)
        assert (reading.details["lines"], reading.total_w) == (2, 14.32), words[at]


def test_two_samples_in_one_line_are_two():
    reading = read("tegrastats", f"{FIRST} 03-01-2026 08:00:01 {LAST}")
    assert (reading.details["lines"], reading.total_w, reading.details["board_time"]) == (
        2,
        14.32,
        "03-01-2026 08:00:01",
    )


def test_the_boards_time_is_tegrastats_own_not_the_loggers():
    line = LOGGERS["syslog, from tegrastats with its time"].format(line=LAST, n=7)
    assert read("tegrastats", line).details["board_time"] == "03-01-2026 08:00:07"
    assert "board_time" not in read("tegrastats", LOGGERS["docker logs -t"].format(line=LAST, n=7)).details


@pytest.mark.parametrize("at", range(20, len(LAST)))
def test_a_line_cut_anywhere_has_its_own_total_or_none(at):
    reading = read("tegrastats", LAST[:at])
    assert reading.total_w in (None, 14.32)
    assert (reading.total_w is None) == bool(reading.reason)
    values = {each["site"]: each["value"] for each in reading.channels if each["kind"] == "power"}
    assert values.items() <= {"VDD_IN": 14.32, "VDD_CPU_GPU_CV": 6.41, "VDD_SOC": 2.89}.items()


def test_a_last_line_that_lacks_the_input_of_the_line_before_was_cut():
    thor = "RAM 1/2MB CPU [0%@2201] VDD_GPU 4000mW/1mW VDD_CPU_SOC_MSS 5000mW/1mW VIN_SYS_5V0 6000mW/1mW"
    assert read("tegrastats", thor).total_scope == "rails_sum"
    reading = read("tegrastats", f"{thor} VIN 24000mW/1mW\n{thor}")
    assert reading.total_w is None
    assert "lacks VIN" in reading.reason


@pytest.mark.parametrize("logger", [*LOGGERS, *WRAPPERS])
def test_answers_of_vcgencmd_are_found_in_a_loggers_line(logger):
    text = "\n".join(
        wrapped(logger, line, n)
        for n, line in enumerate(("temp=48.3'C", "throttled=0x50005", "arm:\tfrequency(48)=1500"))
    )
    reading = read("vcgencmd", text)
    assert [(each["site"], each["value"]) for each in reading.channels] == [
        ("soc", 48.3),
        ("board", 0x50005),
        ("arm", 1500),
    ]


def test_plain_lines_are_left_as_they_are():
    text = '{ 5 }\n  one\t\n\n{"no": "line of a tool"}\n'
    assert plain_lines(text) == ["{ 5 }", "one", '{"no": "line of a tool"}']


# -- what a shell says instead -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "sh: 1: vcgencmd: not found",
        "bash: vcgencmd: command not found",
        "-bash: /opt/vc/bin/vcgencmd: No such file or directory",
        "zsh: command not found: vcgencmd",
        "fish: Unknown command: vcgencmd",
        "-ash: vcgencmd: not found",
        "sudo: vcgencmd: command not found",
        "env: 'vcgencmd': No such file or directory",
        "Command 'vcgencmd' not found, but can be installed with:",
        "FileNotFoundError: [Errno 2] No such file or directory: 'vcgencmd'",
        'exec: "vcgencmd": executable file not found in $PATH',
    ],
)
@pytest.mark.parametrize("kind", ["pmic", "throttled", "vcgencmd"])
def test_a_program_that_is_not_there_is_not_a_matter_of_groups(kind, said):
    reading = read(kind, said + "\n")
    assert (reading.channels, reading.total_w) == ([], None)
    assert "there is no such program on this board" in reading.reason
    assert said in reading.reason
    assert "group" not in reading.reason


@pytest.mark.parametrize(
    ("said", "meaning", "group"),
    [
        ("Can't open device file: /dev/vcio_gencmd", "Can't open device file", True),
        ("VCHI initialization failed", "VCHI initialization failed", True),
        ("open: /dev/vcio: Permission denied", "Permission denied", True),
        ("bash: /usr/bin/vcgencmd: Permission denied", "vcgencmd: bash", False),
        ('error=1 error_msg="Command not registered"', "Command not registered", False),
        (
            "vcgencmd: error while loading shared libraries: libvchiq_arm.so: cannot open shared object file: "
            "No such file or directory",
            "is there, but cannot be started",
            False,
        ),
        (
            "bash: /usr/bin/vcgencmd: cannot execute binary file: Exec format error",
            "cannot be started",
            False,
        ),
        ("sudo: a password is required", "was not run", False),
    ],
)
def test_each_refusal_has_its_own_reason(said, meaning, group):
    reason = refusal("vcgencmd", said)
    assert meaning in reason
    assert ("group video" in reason) is group


def test_an_answer_is_no_refusal():
    assert refusal("vcgencmd", "temp=48.3'C\nvolt=0.85V\n") is None
