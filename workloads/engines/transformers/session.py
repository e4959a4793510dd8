# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Fine-tuning of a transformer, to tell the classes of texts or each next token: the protocol of all engines on torch.

Texts of a batch are padded to its longest one, as Hugging Face's collators do; what is counted are the tokens without
padding. A text longer than ``seq_len`` is cut, and its last token is then the tokenizer's end, where it has one.
"""

import math
import time
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.pytorch.networks.node_cache import NodeCacheSession
from tunebench.workloads.engines.pytorch.session import to_torch
from tunebench.workloads.engines.pytorch.session import version as torch_version
from tunebench.workloads.engines.session import Evaluation, Mark, Told
from tunebench.workloads.engines.transformers.classifier import Classifier
from tunebench.workloads.engines.transformers.classifier import version as package_version
from tunebench.workloads.engines.transformers.descent import Descent, autocast
from tunebench.workloads.engines.transformers.keeping import keep
from tunebench.workloads.engines.transformers.quantized import check_kernels
from tunebench.workloads.marks.peak_memory import Watch, status_b
from tunebench.workloads.methods import memory
from tunebench.workloads.methods.table import FORWARD_ONLY
from tunebench.workloads.models.graph import LANGUAGE
from tunebench.workloads.models.language import parse_source
from tunebench.workloads.tasks.metrics import balanced_accuracy
from tunebench.workloads.tasks.task import Task

#: of the result
METRIC, TOKEN_METRIC = "balanced accuracy", "next-token accuracy"
_EVALUATE_TEXTS = 32  # bounds the memory of an evaluation
_EVALUATE_BLOCKS = 4  # likewise, of a language model, whose scores are as many as it knows tokens
_MOST_LOSS = 700.0  # its exponential is still a number


def version() -> str:
    """Return the engine's version, e.g. ``transformers 5.24.0, torch 2.13.0+cpu``."""
    return "%s, %s" % (package_version(), torch_version())


class Texts(object):
    """The texts of one part of a data set, cut to a number of tokens, on the device.

    Attributes:
        labels: class of each text.
        lengths: tokens of each text as it is read.
    """

    def __init__(self, data: Artefact, part: str, seq_len: int, device: Any) -> None:
        whole = data.need(part + "_n").array().tolist()
        tokens = to_torch(data.need(part + "_x")).to(torch.int64)[:, :seq_len].clone()
        end = data.meta.get("end_token")
        self.lengths: List[int] = [min(int(count), seq_len) for count in whole]
        for row, count in enumerate(whole):
            if count > seq_len and end is not None:
                tokens[row, seq_len - 1] = end
        self.tokens = tokens.to(device)
        classes = part + "_y" in data.tensors
        self.labels: List[int] = data.need(part + "_y").array().tolist() if classes else []
        self.y = torch.tensor(self.labels, dtype=torch.int64, device=device)
        self.n = torch.tensor(self.lengths, dtype=torch.int64, device=device)

    def batch(self, rows: Any, longest: int) -> Tuple[Any, Any]:
        """Return the tokens and the mask of texts, padded to the longest of them."""
        tokens = self.tokens[:, :longest].index_select(0, rows)
        places = torch.arange(longest, device=tokens.device)
        mask = (places.unsqueeze(0) < self.n.index_select(0, rows).unsqueeze(1)).to(torch.int64)
        return tokens, mask


class TextSession(NodeCacheSession):
    """A fine-tuning of a transformer to tell the classes of texts.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).

    Raises:
        SpecError: no CUDA device where one is asked for, or a version of transformers that names its modules otherwise.
    """

    def __init__(self, task: Task, cache: Optional[bool] = None) -> None:
        spec = task.spec
        super().__init__(task)
        if task.plan.quantized_base is not None:
            check_kernels(task.plan.quantized_base, self.device)
        watch = Watch() if spec.mode == "instrumented" else None
        if watch is not None:
            watch.begin()
        begun = time.monotonic()
        seq_len = task.plan.graph.shape[0]
        self.texts = {part: Texts(task.data, part, seq_len, self.device) for part in ("finetune", "test")}
        self.model = Classifier(task.plan, task.weights, spec.scale, spec.seed).to(self.device)
        self.model.context = autocast(self.device, spec.dtype)
        # What is shipped is a difference to the base; without, nothing of it is kept that is not used.
        self.base = task.weights if spec.ship else None
        self.task = task._replace(weights=Artefact(task.weights.kind, task.weights.meta, {}))
        self.will_train(self.model.trained, self.model.mappers)
        self.statistics: List[Any] = []
        self.descent = Descent(self.model.trained, spec.dtype)
        self.marks_per_step *= spec.training.accumulate
        updates = [rows for epoch in self.batches for rows in epoch]
        #: of each update what is run at once
        self.parts = {id(rows): self._parted(rows) for rows in updates}
        pieces = [part for parts in self.parts.values() for part in parts]
        # on the host, to count tokens and find the longest without asking the device
        self.rows = {id(rows): rows.tolist() for rows in updates + pieces}
        self.load_s = time.monotonic() - begun
        #: phase -> most that was resident in it, bytes; empty where it is not asked for or the kernel does not say
        self.peaks_b: Dict[str, int] = {}
        self.watched = False
        if watch is not None:
            watch.end()
            self.hidden_b = watch.hidden_b
            self.watched = watch.peak_b is not None
            self.load_peak_b = watch.peak_b or 0
        self.cache = self._empty_cache() if self.plan.caches and cache is not False else None
        self.test_values: List[Dict[str, Any]] = []
        self._count_anew()

        if not parse_source(spec.model).trained:
            self.no_quality = (
                "model %r has random weights: its time, memory and energy are real, its quality is none"
                % (spec.model)
            )

    def _count_anew(self) -> None:
        self.tokens, self.padded, self.epochs_s = 0, 0, 0.0
        self.steps_s: List[float] = []
        self.peaks_b = {}

    def _parted(self, rows: Any) -> List[Any]:
        batch = self.task.spec.batch
        return [rows] if len(rows) <= batch else list(rows.split(batch))

    def filled_rows(self, epoch: int) -> List[Any]:
        return [part for rows in self.batches[epoch] for part in self.parts[id(rows)]]

    def _batch(self, rows: Any) -> Tuple[Any, Any]:
        lengths = self.texts["finetune"].lengths
        return self.texts["finetune"].batch(rows, max(lengths[row] for row in self.rows[id(rows)]))

    def cached_values(self, rows: Any) -> List[Any]:
        with torch.no_grad():
            kept: List[Any] = self.model.kept(*self._batch(rows))
        return kept

    def restart(self) -> None:
        super().restart()
        self.descent.reset()
        self._count_anew()

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        begun = time.monotonic()
        mean = super().train_epoch(epoch, mark)
        self.epochs_s += time.monotonic() - begun
        self._note_peak("steady_step")
        return mean

    def _note_peak(self, phase: str) -> None:
        """Note the most that was resident since whoever watches the fine-tuning began: before it, and in each epoch."""
        peak_b = status_b("VmHWM") if self.watched else None
        if peak_b is not None:
            self.peaks_b[phase] = peak_b

    def keep(self, folder: str, told: Told) -> None:
        keep(self, folder, told)

    def step(self, rows: Any, mark: Mark) -> Any:
        """Do one update on the texts ``rows``, in as many parts as the batch is large; return the loss before it."""
        begun = time.monotonic()
        loss = self._step(rows, mark)
        self.steps_s.append(time.monotonic() - begun)
        if len(self.steps_s) == 1:
            self._note_peak("first_step")
        for part in self.parts[id(rows)]:
            lengths = [self.texts["finetune"].lengths[row] for row in self.rows[id(part)]]
            self.tokens += sum(lengths)
            self.padded += len(lengths) * max(lengths)
        return loss

    def _step(self, rows: Any, mark: Mark) -> Any:
        if self.plan.gradient == FORWARD_ONLY:
            mark("gather")
            tokens, mask = self._batch(rows)
            return self._forward_only(lambda: self._loss_of(tokens, mask, rows), mark)
        parts = self.parts[id(rows)]
        if len(parts) == 1:
            loss = self._loss(rows, mark)
            mark("backward")
            gradients = self.descent.of_one(loss)
        else:
            losses = []
            for part in parts:
                share = len(part) / len(rows)
                own = self._loss(part, mark)
                mark("backward")
                self.descent.add(own, share)
                losses.append(own.detach() * share)
            loss, gradients = torch.stack(losses).sum(), self.descent.taken()
        mark("update")
        ready = self.descent.ready(gradients)
        if ready is not None:
            self.optimizer.step(ready, self.rates[min(self.steps, len(self.rates) - 1)])
        self.steps += 1
        return loss.detach()

    def _loss(self, rows: Any, mark: Mark) -> Any:
        """Return the mean loss of texts that are run at once."""
        mark("gather")
        if self.cache is not None:
            scores = self.model.scores(self._lookup(self.cache, rows, mark))
            return F.cross_entropy(scores, self.texts["finetune"].y.index_select(0, rows))
        tokens, mask = self._batch(rows)
        mark("forward")
        return self._loss_of(tokens, mask, rows)

    def _loss_of(self, tokens: Any, mask: Any, rows: Any) -> Any:
        return F.cross_entropy(self.model(tokens, mask), self.texts["finetune"].y.index_select(0, rows))

    def _lookup(self, cache: Dict[str, Any], rows: Any, mark: Mark) -> Dict[str, Any]:
        """Return the cached values of a batch; in the first epoch they are computed and stored."""
        self.lookups += len(rows)
        if self.filled_epoch is None:
            mark("cache_fill")
            values = dict(zip(self.plan.cached, self.cached_values(rows)))
            for name, made in values.items():
                cache[name].index_copy_(0, rows, made)
        else:
            self.hits += len(rows)
            values = {name: kept.index_select(0, rows) for name, kept in cache.items()}
        mark("forward")
        return values

    def _test_values(self) -> List[Dict[str, Any]]:
        """Return the trunk's values for the test set, batch by batch; a frozen trunk runs once."""
        if self.test_values:
            return self.test_values
        texts, made = self.texts["test"], []
        for at in range(0, len(texts.lengths), _EVALUATE_TEXTS):
            rows = torch.arange(at, min(at + _EVALUATE_TEXTS, len(texts.lengths)), device=self.device)
            made.append(self.model.pooled(*texts.batch(rows, max(texts.lengths[at : at + _EVALUATE_TEXTS]))))
        if self.model.frozen:
            self.test_values = made
        return made

    def evaluate(self) -> Evaluation:
        labels, y = self.texts["test"].labels, self.texts["test"].y
        with torch.no_grad():
            scores = torch.cat([self.model.scores(values) for values in self._test_values()])
            loss = float(F.cross_entropy(scores, y))
        predictions = scores.argmax(1).tolist()
        right = sum(label == prediction for label, prediction in zip(labels, predictions)) / len(labels)
        quality = balanced_accuracy(labels, predictions)
        metrics = {"accuracy": right, "test_loss": loss}
        return Evaluation(quality, len(labels), labels, predictions, self._told(metrics), METRIC)

    def _told(self, metrics: Dict[str, float]) -> Dict[str, float]:
        """Return what of an evaluation may be told: nothing of random weights, nor what is not finite."""
        if self.no_quality:
            return {}
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    def _metrics(self) -> Dict[str, float]:
        """Return further numbers of the result.

        ``train_tokens`` without padding and ``padded_tokens`` with it, of one fine-tuning; ``tokens_per_s`` over its
        epochs, padding left out; seconds to load, of the first update, and of an update in the last epoch (median);
        in float16 ``left_out_updates``, whose gradients were not finite.
        """
        training, steps = self.task.spec.training, self.task.steps_per_epoch
        predicted = memory.predict(
            self.plan, self.task.spec.batch, self.task.n_train, state_floats=training.state_floats
        )
        metrics = {
            "predicted_step_b": float(predicted.step_b),
            "predicted_total_b": float(predicted.total_b),
            "load_s": self.load_s,
            "train_tokens": float(self.tokens),
            "padded_tokens": float(self.padded),
        }
        if self.steps_s and self.epochs_s:
            last = sorted(self.steps_s[-steps:])
            metrics["first_step_s"] = self.steps_s[0]
            metrics["steady_step_s"] = last[len(last) // 2]
            metrics["tokens_per_s"] = self.tokens / self.epochs_s
        if self.watched:
            metrics["load_peak_b"] = float(self.load_peak_b)
        metrics.update((phase + "_peak_b", float(peak_b)) for phase, peak_b in self.peaks_b.items())
        if self.descent.scaled:
            metrics["left_out_updates"] = float(self.descent.left_out)
        metrics.update(super()._metrics())
        return metrics

    def facts(self) -> Dict[str, Any]:
        return dict(super().facts(), engine_version=version())


class LanguageSession(TextSession):
    """A fine-tuning of a language model: each next token of a text is learnt.

    Texts are equally long and none is padded. What is told of the test texts: the share of next tokens that the highest
    score tells right, the mean loss of a token, and its exponential, the perplexity; the latter two before training, too.
    """

    first_loss: Optional[float] = None

    def _loss_of(self, tokens: Any, mask: Any, rows: Any) -> Any:
        return _token_loss(self.model.token_scores(tokens, mask), tokens)

    def evaluate(self) -> Evaluation:
        texts = self.texts["test"]
        right, lost, seen = 0, 0.0, 0
        with torch.no_grad():
            for at in range(0, len(texts.lengths), _EVALUATE_BLOCKS):
                rows = torch.arange(at, min(at + _EVALUATE_BLOCKS, len(texts.lengths)), device=self.device)
                tokens, mask = texts.batch(rows, max(texts.lengths))
                scores = self.model.token_scores(tokens, mask)
                count = scores.shape[0] * scores.shape[1]
                lost += float(_token_loss(scores, tokens)) * count
                right += int((scores.argmax(2) == tokens[:, 1:]).sum())
                seen += count
        loss = lost / seen
        if self.first_loss is None:
            self.first_loss = loss
        metrics = {"test_loss": loss, "perplexity": _perplexity(loss)}
        metrics.update(test_loss_before=self.first_loss, perplexity_before=_perplexity(self.first_loss))
        return Evaluation(right / seen, seen, None, None, self._told(metrics), TOKEN_METRIC)


def _token_loss(scores: Any, tokens: Any) -> Any:
    """Return the mean loss of the next tokens."""
    return F.cross_entropy(scores.reshape(-1, scores.shape[2]), tokens[:, 1:].reshape(-1))


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < _MOST_LOSS else math.inf


def Session(task: Task, cache: Optional[bool] = None) -> TextSession:
    """Return a fine-tuning of what the task's texts are for."""
    made = LanguageSession if task.plan.graph.task == LANGUAGE else TextSession
    return made(task, cache)
