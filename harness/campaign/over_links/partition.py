"""Call a cut network over links: after the repetition's window, over the board's own link and over shaped ones.

The board begins each call, sends what crosses, and has the outputs of this host's part back: that is how a deployed
network would run, and the board's clock measures it. Nothing here can fail a repetition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from tunebench.harness.board.device_part import Called, DevicePartChannel
from tunebench.harness.board.link import Interrupted, Link
from tunebench.harness.config.tables.partition import OWN
from tunebench.harness.planning.job import LEASE_MARGIN_S, BoardContext, Job, crosses
from tunebench.harness.record.harvest import Harvested
from tunebench.harness.record.partition import LinkFigures, cut_records, link_record, predicted_s
from tunebench.harness.record.record import Partitioned
from tunebench.reports.records import Partition, PartitionCut, PartitionLink
from tunebench.targets.client.board import Board
from tunebench.targets.errors import ReplyError, TargetError
from tunebench.targets.transport.traffic_shaping import Profile, ShapedLink
from tunebench.workloads import artefact
from tunebench.workloads.compress.remote_parts import BadTensor, RemoteParts
from tunebench.workloads.deploy.device_parts import Crossing
from tunebench.workloads.errors import WorkloadError

#: Calls of each cut over each link; the cuts take turns.
ROUNDS = 9
#: Seconds after which no further round of a link begins; three are made all the same.
ROUNDS_S, _FEWEST_ROUNDS = 20.0, 3
#: A cut whose bytes alone need longer than this, and than the whole network on the board, is not called: it cannot win.
CROSSING_S = 1.0
#: Two processors round differently: so much of the largest output, or of 1.
TOLERANCE = 1e-3
_COMPARED = 8
_ALONE_CALLS = 30
#: Bytes and repeats by which the own link's rate and round trip are found.
_PROBE_B, _PROBES = 1 << 18, 7
#: Beyond the calls themselves: a connection, the board's runtime and its parts are loaded.
_SETUP_S = 60.0


def partition(link: Link, job: Job, context: BoardContext, harvested: Harvested) -> Partitioned:
    """Call a finished repetition's network over all links; a fault becomes the reason why it is missing."""
    planned, result = job.planned, harvested.result
    ended = harvested.exit_record is not None and harvested.exit_record.outcome == "ok"
    if not ended or result is None or result.outcome != "ok":
        return Partitioned(missing="the repetition did not end well: its network is not cut")
    asked, blob = (
        planned.workload.partition,
        context.artifacts.remote.get((*planned.workload.key, planned.base or 0)),
    )
    if asked is None or blob is None:
        return Partitioned(missing="there is no part of the network for the host")
    try:
        remote = RemoteParts(artefact.decode(blob.read()), planned.workload.threads)
        cuts = cut_records(remote.crossings, result.parts, harvested.samples)
        over = _Measured(cuts, [])
        if crosses(planned):
            over = _over_links(link, job, context, _Cut(remote, cuts, asked.links))
    except (TargetError, WorkloadError, BadTensor, ImportError, ValueError) as error:
        return Partitioned(missing=f"the network could not be called over links: {error}"[:1000])
    except Interrupted:
        return Partitioned(missing="the run was stopped while the network was called over links")
    made = Partition(
        cut=asked.cut,
        answer_b=remote.answer_b,
        tolerance=TOLERANCE,
        host_runtime=f"onnxruntime {remote.version}",
        host_threads=planned.workload.threads,
        cuts=list(over.cuts),
        links=list(over.links),
    )
    return Partitioned(made)


@dataclass(frozen=True)
class _Cut:
    """A network that is cut: the host's parts, what is known of each cut, and the shaped links that are asked for."""

    remote: RemoteParts
    cuts: Sequence[PartitionCut]
    profiles: Sequence[Profile]

    def crossing(self, cut: PartitionCut) -> Crossing:
        return self.remote.crossing(cut.cut)

    def answering(self, cut: PartitionCut) -> Callable[[bytes], bytes] | None:
        """Return the host's part of a cut; None: nothing is left for it."""
        if not cut.size_b:
            return None
        return lambda tensor: self.remote.outputs(cut.cut, tensor)


@dataclass(frozen=True)
class _Measured:
    cuts: Sequence[PartitionCut]
    links: Sequence[PartitionLink]


def _over_links(link: Link, job: Job, context: BoardContext, network: _Cut) -> _Measured:
    """Return what was measured over the board's own link and over the shaped ones.

    Raises:
        TargetError: the own link, or what came over it, is not what it should be.
        Interrupted: the user asked to stop.
    """
    rep_id = job.planned.rep_id
    longest_s = LEASE_MARGIN_S + (1 + len(network.profiles)) * (_SETUP_S + 2 * ROUNDS_S)
    # The repetition's lease may run out while a slow link is measured.
    link.persist(lambda: link.board.occupy(context.owner, longest_s))

    def over_own() -> tuple[_Cut, PartitionLink]:
        with _channel(link.board, rep_id) as channel:
            n_samples = channel.ready([row.cut for row in network.remote.crossings])
            known = _Cut(network.remote, _compared(channel, network, n_samples), network.profiles)
            figures = _probed(channel, network.remote.answer_b)
            return known, link_record(figures, known.cuts, _rounds(channel, known, n_samples, figures))

    known, own = link.persist(over_own)
    links = [own]
    for profile in network.profiles:
        link.check_stop()
        links.append(_over_profile(link, rep_id, known, profile))
    return _Measured(known.cuts, links)


def _channel(board: Board, rep_id: str) -> DevicePartChannel:
    return DevicePartChannel(board.partition(rep_id), board.spec.id, board.spec.timeouts.command_s)


def _compared(channel: DevicePartChannel, network: _Cut, n_samples: int) -> list[PartitionCut]:
    """Hold the outputs of each cut against those of the whole network on the board, and time the host's part alone.

    Raises:
        TargetError: the link broke, or what crosses is not what it should be.
    """
    answer_b = network.remote.answer_b
    wholes = [np.frombuffer(channel.whole(at, answer_b), "<f4") for at in range(min(_COMPARED, n_samples))]
    if not all(np.isfinite(whole).all() for whole in wholes):
        raise ReplyError("the board's outputs of the whole network are not finite")
    compared = []
    for cut in network.cuts:
        remote = network.answering(cut)
        if remote is None:
            compared.append(cut.model_copy(update={"remote_s": 0.0, "max_difference": 0.0, "equal": True}))
            continue
        crossed: list[bytes] = []

        def kept(
            tensor: bytes, remote: Callable[[bytes], bytes] = remote, crossed: list[bytes] = crossed
        ) -> bytes:
            crossed.append(tensor)
            return remote(tensor)

        outputs = [
            np.frombuffer(channel.call(network.crossing(cut), at, kept).outputs, "<f4")
            for at in range(len(wholes))
        ]
        pairs = list(zip(outputs, wholes, strict=True))
        difference = max(float(np.abs(output - whole).max()) for output, whole in pairs)
        allowed = TOLERANCE * max(1.0, *(float(np.abs(whole).max()) for whole in wholes))
        facts = {
            "remote_s": _alone_s(remote, crossed[0]),
            "max_difference": difference,
            "equal": difference <= allowed,
        }
        compared.append(cut.model_copy(update=facts))
    return compared


def _alone_s(remote: Callable[[bytes], bytes], tensor: bytes) -> float:
    """Return the median of calls of the host's part, one behind another."""
    times = []
    for _ in range(_ALONE_CALLS):
        begun_s = time.perf_counter()
        remote(tensor)
        times.append(time.perf_counter() - begun_s)
    return median(times)


def _probed(channel: DevicePartChannel, answer_b: int) -> LinkFigures:
    """Find the own link's round trip and rate from bytes that nobody computes with."""
    rtt_s = median([channel.echo(0, answer_b) for _ in range(_PROBES)])
    large_s = median([channel.echo(_PROBE_B, answer_b) for _ in range(_PROBES)])
    rate_bit_s = 8.0 * _PROBE_B / max(large_s - rtt_s, 1e-6)
    # What goes back is a few numbers: its rate is taken to be the same.
    return LinkFigures(OWN, rate_bit_s, rate_bit_s, rtt_s, answer_b)


def _over_profile(link: Link, rep_id: str, network: _Cut, profile: Profile) -> PartitionLink:
    """Return what was measured over a shaped link; a link that fails has a reason."""
    figures = LinkFigures(
        profile.name, profile.up_bit_s, profile.down_bit_s, profile.rtt_s, network.remote.answer_b
    )
    try:
        with ShapedLink(profile) as shaped, link.board.beside(shaped.dial) as board:
            if not shaped.dialled:
                raise TargetError(
                    'a board behind a ProxyCommand or by transport = "openssh" has no TCP connection of ours to shape'
                )
            with _channel(board, rep_id) as channel:
                n_samples = channel.ready([row.cut for row in network.remote.crossings])
                return link_record(figures, network.cuts, _rounds(channel, network, n_samples, figures))
    except (TargetError, BadTensor, OSError) as error:
        link.tell(f"link {profile.name}: {error}")
        return link_record(figures, network.cuts, {}, str(error)[:500])


def _rounds(
    channel: DevicePartChannel, network: _Cut, n_samples: int, figures: LinkFigures
) -> Mapping[str, list[Called]]:
    """Call each cut once a round, in turn, behind one call that is not counted; return the calls of each."""
    whole_s = network.cuts[-1].device_s
    called: dict[str, list[Called]] = {
        cut.cut: []
        for cut in network.cuts
        if not cut.size_b or figures.crossing_s(cut.size_b) <= max(CROSSING_S, whole_s)
    }
    cuts = [cut for cut in network.cuts if cut.cut in called]
    begun_s = time.monotonic()
    for turn in range(-1, ROUNDS):
        if turn >= _FEWEST_ROUNDS and time.monotonic() - begun_s > ROUNDS_S:
            break
        for cut in cuts:
            link_s = predicted_s(cut, figures) or 0.0
            call = channel.call(network.crossing(cut), (turn + 1) % n_samples, network.answering(cut), link_s)
            if turn >= 0:
                called[cut.cut].append(call)
    return called
