"""What the runner asks of whatever it measures: an engine's session or a user's own module."""

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from tunebench.workloads.updates import Exported

#: opens a phase; in a timed run it does nothing
Mark = Callable[[str], Any]


class Told(object):
    """What a session tells of the phases behind a fine-tuning. Base class: keeps nothing."""

    def begins(self, phase: str) -> None:
        """Note that a phase begins: whoever ends in it did not come further."""

    def ended(self, phase: str, seconds: float, peak_b: Optional[int]) -> None:
        """Note a phase's seconds and peak of resident memory; None where the kernel does not say."""

    def has_none(self, phase: str, reason: str) -> None:
        """Note why there is no such phase, or how it failed."""


def no_mark(phase: str) -> None:
    """Do nothing: the mark of a timed run."""


class Evaluation(NamedTuple):
    """The model on the test set.

    Attributes:
        accuracy: share of right predictions, 0..1.
        n_items: test items; None if a user's module does not say.
        labels, predictions: of each item, or None.
        metrics: further numbers.
        metric: what ``accuracy`` is, where it is another share: ``mAP50``, ``mIoU``.
    """

    accuracy: float
    n_items: Optional[int] = None
    labels: Optional[List[int]] = None
    predictions: Optional[List[int]] = None
    metrics: Dict[str, float] = {}
    metric: str = "accuracy"


class Session:
    """One fine-tuning in progress. Base class: says what each part must do."""

    #: waits for the device before a mark; None on a CPU
    synchronise: Optional[Callable[[], None]] = None
    #: what an epoch begins with
    first_phase = "gather"
    #: phases that an epoch marks for each batch: sizes the marks' buffer
    marks_per_step = 5
    #: whether a fine-tuning changes anything; a control may leave the network as it is
    changes = True
    #: why the model's quality says nothing, where it says nothing: it is not told then
    no_quality: Optional[str] = None
    #: most that was resident before a peak of memory was set back while it was made, bytes
    hidden_b: int = 0

    def steps_per_epoch(self) -> Optional[int]:
        """Return the number of batches in an epoch; None if not known beforehand, 0 of a method without steps."""
        raise NotImplementedError

    def warm_up(self, steps: int) -> None:
        """Run ``steps`` steps on a throw-away copy: nothing of this session's state may change."""
        raise NotImplementedError

    def begin(self, mark: Mark) -> None:
        """Do what precedes the first step of a fine-tuning, inside its window; a second call does nothing."""

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        """Train one epoch, which has steps; return the mean loss over its samples (NaN or infinite: diverged).

        The first one begins the fine-tuning, see :meth:`begin`.
        """
        raise NotImplementedError

    def train_epochs(self, first: int, count: int) -> List[float]:
        """Train epochs without marks, up to one whose loss is not finite; return the mean loss of each.

        An engine that can runs them all in one call, so that nothing of Python stands between epochs. A method
        without steps only begins, and has no losses.
        """
        if self.steps_per_epoch() == 0:
            self.begin(no_mark)
            return []
        losses = []
        for epoch in range(first, first + count):
            losses.append(self.train_epoch(epoch, no_mark))
            if not math.isfinite(losses[-1]):
                break
        return losses

    def evaluate(self) -> Evaluation:
        """Predict the test set with the model as it is now."""
        raise NotImplementedError

    def hold_start(self) -> None:
        """Keep what :meth:`restart` needs; called before the window, by runs that repeat the fine-tuning only."""

    def restart(self) -> None:
        """Go back to the start: the same start weights, an empty cache, counts at zero.

        It costs far less than a fine-tuning: in an energy repetition it lies inside the window.
        """
        raise NotImplementedError

    def facts(self) -> Dict[str, Any]:
        """Return fields of the result: steps, params_*, update_b, cache_*, engine_version, metrics."""
        raise NotImplementedError

    def keep(self, folder: str, told: Told) -> None:
        """Merge, save and load again what was trained, phase by phase; called last, by instrumented runs only.

        Args:
            folder: for files, which are gone afterwards.
            told: called with a phase's name as it begins, and again with its seconds and the most that was resident in
                it, or with the reason why it has none.
        """

    def export(self) -> Optional[Exported]:
        """Return the network as it is now, for shipping; None if this session cannot export it."""
        return None
