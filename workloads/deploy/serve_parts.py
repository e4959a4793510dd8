"""Serve a cut network's first part on the board: run it, send what crosses, take the outputs that the host computed.

The agent becomes this program once the job has ended; standard input and output are then the channel to the host. All
seconds are of this board's clock: a call begins with the part here and ends when the outputs are back.
"""

import os
import signal
import sys
from array import array
from typing import Any, BinaryIO, Dict

from tunebench.workloads import marks
from tunebench.workloads.deploy import RUNTIMES, frames
from tunebench.workloads.deploy.device_parts import DeviceParts
from tunebench.workloads.deploy.subject import Subject, import_runtime, network_of, read_role
from tunebench.workloads.errors import WorkloadError

#: A host that has fallen silent ends this after so many seconds.
_SILENCE_S = 300
_MAX_LINE_B = 4096


def main() -> int:
    """Serve until the host ends it; return the exit code."""
    # What a runtime prints must not come between frames.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        job = marks.load_job()
        server = _Server(_parts(job), sys.stdin.buffer, channel)
        server.tell(samples=server.parts.n_samples, cuts=[row.cut for row in server.parts.crossings])
        while server.served():
            pass
    except (WorkloadError, ValueError) as error:
        channel.write(frames.framed(frames.FAULT, str(error)[:1000].encode("ascii", "replace")))
        channel.flush()
        return 2
    return 0


def _parts(job: Dict[str, Any]) -> DeviceParts:
    spec, paths = dict(job.get("workload", {})), dict(job.get("paths", {}))
    name = str(spec.get("runtime"))
    module = RUNTIMES[name].load()
    import_runtime(name, RUNTIMES[name], module)
    subject = Subject(name, module, network_of(paths, name), int(spec.get("threads", 1)), "")
    parts = DeviceParts(subject, read_role(paths, "data"))
    if not parts.crossings:
        raise WorkloadError("this job's network is not cut")
    return parts


class _Server:
    """One channel: requests come as lines, answers go as frames."""

    def __init__(self, parts: DeviceParts, source: BinaryIO, sink: BinaryIO) -> None:
        self.parts, self._source, self._sink = parts, source, sink
        self._answer_b = parts.crossings[-1].size_b

    def served(self) -> bool:
        """Answer the next request; False once there is none more."""
        signal.alarm(_SILENCE_S)
        line = self._source.readline(_MAX_LINE_B)
        if not line:
            return False
        asked = frames.facts_of(line)
        do, at = asked.get("do"), asked.get("at", 0)
        if not isinstance(at, int) or not 0 <= at < self.parts.n_samples:
            raise ValueError("there are %d samples, asked for was %.40r" % (self.parts.n_samples, at))
        if do == "end":
            return False
        if do == "whole":
            self._send(frames.TENSOR, self.parts.run(self.parts.whole, at))
        elif do == "call":
            self._call(str(asked.get("cut")), at)
        elif do == "echo":
            self._echo(asked.get("size_b"))
        else:
            raise ValueError("'do' must be call, whole, echo or end, got %.40r" % (do,))
        return True

    def _call(self, cut: str, at: int) -> None:
        if cut not in [crossing.cut for crossing in self.parts.crossings]:
            raise ValueError("no cut %.80r here" % cut)
        begun_ns = marks.monotonic_ns()
        tensor = self.parts.run(cut, at)
        device_ns = marks.monotonic_ns() - begun_ns
        if cut != self.parts.whole:
            self._send(frames.TENSOR, tensor)
            self._take()
        total_ns = marks.monotonic_ns() - begun_ns
        self.tell(device_s=device_ns / 1e9, total_s=total_ns / 1e9)

    def _echo(self, size_b: Any) -> None:
        """Send bytes that nobody computes with, and take outputs that nobody has computed: the link alone."""
        if not isinstance(size_b, int) or not 0 <= size_b <= frames.MAX_TENSOR_B:
            raise ValueError("an echo of %.40r bytes" % (size_b,))
        content = b"\0" * size_b
        begun_ns = marks.monotonic_ns()
        self._send(frames.TENSOR, content)
        self._take()
        self.tell(total_s=(marks.monotonic_ns() - begun_ns) / 1e9)

    def _take(self) -> "array[float]":
        raw = self._source.read(self._answer_b)
        if len(raw) != self._answer_b:
            raise ValueError("%d bytes of outputs came, %d were due" % (len(raw), self._answer_b))
        return array("f", raw)

    def tell(self, **facts: Any) -> None:
        """Send a text."""
        self._send(frames.TEXT, frames.text_of(**facts))

    def _send(self, kind: int, content: bytes) -> None:
        self._sink.write(frames.framed(kind, content))
        self._sink.flush()


if __name__ == "__main__":
    sys.exit(main())
