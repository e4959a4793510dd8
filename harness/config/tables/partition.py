"""Read ``partition`` and ``links`` of a workload with a runtime: where its network is cut, and over which links.

::

    [[workload]]
    dataset = "mnist"
    model = "resnet-small"
    runtime = "onnxruntime"
    chains = { "plain" = ["tune"] }
    partition = "auto"             # or a layer: the last one on the board
    links = ["wifi", { name = "4g", up_bit_s = 5e6, down_bit_s = 20e6, rtt_s = 0.06 }]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from tunebench.harness.config.tables.compress import numbers_of
from tunebench.harness.config.tables.strict import StrictTable
from tunebench.targets.transport.traffic_shaping import PROFILES, Profile
from tunebench.workloads.compress.steps import Step
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.models.cuts import AUTO, cut_points
from tunebench.workloads.models.graph import Graph

#: the board's link as it is: measured always, and named by no suite
OWN = "own"


class LinkTable(StrictTable):
    """A shaped link by numbers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    up_bit_s: float = Field(gt=0, description="board -> host, bits a second")
    down_bit_s: float = Field(gt=0, description="host -> board")
    rtt_s: float = Field(ge=0, le=10, description="round trip of an empty link")


#: a name that tunebench has, or numbers; told apart beforehand, so that a mistake is told once
LinkEntry = Annotated[
    Annotated[str, Tag("name")] | Annotated[LinkTable, Tag("table")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "table"),
]


@dataclass(frozen=True)
class Partition:
    """Where a row's network is cut, and the shaped links over which its parts meet besides the board's own.

    Attributes:
        cut: the last layer on the board, or :data:`~tunebench.workloads.models.cuts.AUTO`.
    """

    cut: str
    links: tuple[Profile, ...]

    def as_params(self) -> dict[str, Any]:
        """Return what stands in a row's parameters, and so in its series key."""
        return {"partition": {"cut": self.cut, "links": [asdict(link) for link in self.links]}}


def partition_of(cut: str | None, links: Sequence[str | LinkTable] | None) -> Partition | None:
    """Return where a workload's network is cut; None if it is not.

    Raises:
        ValueError: links without a cut, or a link that is not known or given twice.
    """
    if cut is None:
        if links is not None:
            raise ValueError(f"'links' go with 'partition': \"{AUTO}\" or a layer")
        return None
    profiles = [_profile(link) for link in (PROFILES if links is None else links)]
    names = [profile.name for profile in profiles]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"link {name!r} is given twice")
    return Partition(cut, tuple(profiles))


def _profile(link: str | LinkTable) -> Profile:
    if isinstance(link, str):
        if link not in PROFILES:
            raise ValueError(
                f"unknown link {link!r}; allowed: {', '.join(PROFILES)}, or a table with name, up_bit_s, down_bit_s and "
                "rtt_s (the board's own link is always measured)"
            )
        return PROFILES[link]
    if link.name in (*PROFILES, OWN):
        raise ValueError(f"link {link.name!r} is a name that tunebench has; give yours another")
    return Profile(**link.model_dump())


def check_partition(partition: Partition, runtime: str, graph: Graph) -> None:
    """Refuse a cut that cannot be measured.

    Raises:
        ValueError: the runtime runs no parts, or the network has no such cut.
    """
    about = RUNTIMES[runtime]
    if not about.partitions and not about.nowhere:
        able = [name for name, other in RUNTIMES.items() if other.partitions]
        raise ValueError(
            f"'partition': runtime {runtime!r} runs no parts of a network so far; those that do: {', '.join(able)}"
        )
    cuts = cut_points(graph)[:-1]
    if partition.cut != AUTO and partition.cut not in cuts:
        raise ValueError(
            f"'partition': model {graph.name!r} cannot be cut behind {partition.cut!r}, where one tensor alone would "
            f"cross; allowed: {AUTO}, {', '.join(cuts)}"
        )


def check_ends_in_float32(chains: Mapping[str, Sequence[Step]]) -> None:
    """Refuse chains that are not cut.

    Raises:
        ValueError: a chain does not end in float32.
    """
    for name, steps in chains.items():
        narrow = next((numbers for step in steps if (numbers := numbers_of(step))), None)
        if narrow is not None:
            raise ValueError(
                f"'partition': chain {name!r} ends in {narrow}; what crosses is float32: only such chains are cut"
            )
