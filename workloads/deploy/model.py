"""Say what a runtime's module gives the measurement: a model to call, and in which types it has computed."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence


class Model:
    """A loaded network. Base class: says what each part must do."""

    def prepare(self, values: "Any", shape: Any) -> Any:
        """Return one sample as the runtime takes it: outside of the timer, float in."""
        raise NotImplementedError

    def call(self, sample: Any) -> List[float]:
        """Return the outputs of one sample: inside of the timer, float out."""
        raise NotImplementedError

    def tensor(self, sample: Any) -> bytes:
        """Return the output of one sample as little-endian float32: what crosses at a cut, whatever its shape."""
        raise NotImplementedError


class Share(NamedTuple):
    """How much of a network was computed in which type, by the runtime's own profile.

    Attributes:
        time: type -> share of the kernels' time; empty where the runtime gives no times.
        nodes: type -> share of the nodes that ran.
        n_nodes: how many ran.
    """

    time: Dict[str, float]
    nodes: Dict[str, float]
    n_nodes: int


def shares_of_nodes(kinds: Sequence[str]) -> Optional[Share]:
    """Return the shares of nodes alone, from the type of each; None where there is no node.

    >>> shares_of_nodes(["conversion", "int8", "int8", "float32"]).nodes
    {'conversion': 0.25, 'float32': 0.25, 'int8': 0.5}
    """
    if not kinds:
        return None
    return Share({}, {kind: list(kinds).count(kind) / len(kinds) for kind in sorted(set(kinds))}, len(kinds))
