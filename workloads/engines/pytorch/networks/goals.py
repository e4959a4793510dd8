"""What a network learns: the loss of a batch and the quality on a set, for each task."""

from typing import Any, Dict, List, Tuple

import torch
import torch.nn.functional as F

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.pytorch.networks import detection
from tunebench.workloads.engines.pytorch.session import to_torch
from tunebench.workloads.engines.session import Evaluation
from tunebench.workloads.models.dense import CELL
from tunebench.workloads.models.graph import ROWS, Graph
from tunebench.workloads.tasks.metrics import Detection, mean_ap, mean_iou
from tunebench.workloads.tasks.task import true_boxes

Outputs = Tuple[Any, ...]


def graph_classes(graph: Graph) -> int:
    """Return the number of classes that a network distinguishes: the channels of its first output."""
    return {node.name: node for node in graph.nodes}[graph.outputs[0]].channels_out


def entropy(scores: Any) -> Any:
    """Return the mean entropy of the predicted classes of images or pixels, in nats: a loss without labels.

    Args:
        scores: of each class, before softmax: (n, classes, ...).
    """
    logs = F.log_softmax(scores, 1)
    return -(logs.exp() * logs).sum(1).mean()


class Goal(object):
    """The goal on one part of a data set: its labels, the loss and the quality. Base class: says what each must do."""

    def loss(self, outputs: Outputs, rows: Any) -> Any:
        """Return the mean loss of the network's outputs for the images ``rows``: a scalar."""
        raise NotImplementedError

    def collect(self, outputs: Outputs) -> None:
        """Take the outputs of the next images, in order."""
        raise NotImplementedError

    def evaluation(self) -> Evaluation:
        """Return the quality of the outputs collected so far, and begin to collect anew."""
        raise NotImplementedError


class Classify(Goal):
    """Cross-entropy and accuracy."""

    def __init__(self, graph: Graph, data: Artefact, part: str, device: Any) -> None:
        self.y = to_torch(data.need(part + "_y")).to(torch.int64).to(device)
        self.predicted: List[int] = []

    def loss(self, outputs: Outputs, rows: Any) -> Any:
        return F.cross_entropy(outputs[0], self.y.index_select(0, rows))

    def collect(self, outputs: Outputs) -> None:
        self.predicted += outputs[0].argmax(1).tolist()

    def evaluation(self) -> Evaluation:
        predicted, self.predicted = self.predicted, []
        labels = self.y.tolist()
        right = sum(label == guess for label, guess in zip(labels, predicted))  # noqa: B905  Python 3.10
        return Evaluation(right / len(labels), len(labels), labels, predicted)


class Segment(Goal):
    """Cross-entropy of pixels and mean IoU over classes."""

    def __init__(self, graph: Graph, data: Artefact, part: str, device: Any) -> None:
        self.y = to_torch(data.need(part + "_y")).to(device)
        self.n_classes = graph_classes(graph)
        self.confusion = torch.zeros(self.n_classes**2, dtype=torch.int64, device=device)
        self.seen = 0

    def loss(self, outputs: Outputs, rows: Any) -> Any:
        return F.cross_entropy(outputs[0], self.y.index_select(0, rows).to(torch.int64))

    def collect(self, outputs: Outputs) -> None:
        guess = outputs[0].argmax(1)
        truth = self.y[self.seen : self.seen + len(guess)].to(torch.int64)
        self.seen += len(guess)
        pairs = (truth * self.n_classes + guess).reshape(-1)
        self.confusion += torch.bincount(pairs, minlength=self.n_classes**2)

    def evaluation(self) -> Evaluation:
        counts = self.confusion.reshape(self.n_classes, -1)
        pixels = float(counts.diag().sum()) / float(counts.sum())
        quality = Evaluation(
            mean_iou(counts.tolist()), self.seen, metrics={"pixel_accuracy": pixels}, metric="mIoU"
        )
        self.confusion.zero_()
        self.seen = 0
        return quality


class Detect(Goal):
    """Focal and box loss, and mean average precision at IoU 0.5 (``mAP50``) and 0.5 to 0.95.

    No "@" in the names: the report takes such words for addresses and hides them.
    """

    def __init__(self, graph: Graph, data: Artefact, part: str, device: Any) -> None:
        self.truth = true_boxes(data, part)
        height, width = (side // CELL for side in graph.shape[1:])
        made = detection.make_targets(self.truth, graph_classes(graph), height, width)
        self.targets = detection.Targets(*(item.to(device) for item in made))
        self.predicted: List[List[Detection]] = []

    def loss(self, outputs: Outputs, rows: Any) -> Any:
        return detection.loss(outputs, self.targets.rows(rows))

    def collect(self, outputs: Outputs) -> None:
        self.predicted += detection.decode(outputs)

    def evaluation(self) -> Evaluation:
        quality = mean_ap(self.predicted, self.truth)
        self.predicted = []
        metrics = {"mAP50-95": quality.map_50_95}
        return Evaluation(quality.map_50, len(self.truth), metrics=metrics, metric="mAP50")


_GOALS: Dict[str, Any] = {ROWS: Classify, "classify": Classify, "segment": Segment, "detect": Detect}


def make_goal(graph: Graph, data: Artefact, part: str, device: Any) -> Goal:
    """Return the goal of a network on a part of a data set, on a device."""
    goal: Goal = _GOALS[graph.task](graph, data, part, device)
    return goal
