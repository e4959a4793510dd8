"""What a device ships after fine-tuning: the update in a form, a number type, compressed or not.

Forms, as a suite writes them (``adapter/int8+zlib``; without a type ``float32``):

- ``weights``: every tensor of the network, adapters merged into it;
- ``delta``: after less before, of the tensors that changed, dense, adapters merged;
- ``adapter``: extractors and mappers as they are, and, as they are now, the tensors that changed besides (re-estimated
  statistics of BatchNorm, its affine or the head where these train); methods without adapters have none.

Types: ``float32``; ``float16``; ``int8``: one scale a tensor, symmetric (x = scale q, |q| <= 127), the scale beside it as
``NAME.scale``; tensors of one dimension (biases, BatchNorm) stay float32, since they weigh nothing and a variance that
rounds to zero breaks the network. Beside adapters and in a delta, BatchNorm's means and variances are float32 in every
type: a rounded difference could make a variance negative. The largest and the rms error of the values stand in the file.
The files are safetensors (:mod:`tunebench.workloads.updates.safetensors`); ``+zlib`` compresses the whole file.
"""

import hashlib
import json
import math
import os
import time
import zlib
from array import array
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.updates import safetensors
from tunebench.workloads.updates.safetensors import Tensor, TensorFile

SCHEMA = "tunebench.update/1"
INDEX_SCHEMA = "tunebench.updates/1"
#: Folder of a job that holds its updates; it is no part of the harvest.
FOLDER = "updates"
FORMS = ("weights", "delta", "adapter")
DTYPES = {"float32": "F32", "float16": "F16", "int8": "I8"}
#: Last parts of the names of BatchNorm's statistics.
STATISTICS = ("mean", "variance")
#: Key of a file's own SHA-256, and what stands there while it is taken.
SEAL, BLANK = "file_sha256", "0" * 64
#: Skip adapters of a network stand beside its tensors: how their names begin, and the one that the scale belongs to.
SKIP_PREFIX, SKIP_MAPPER = "skip_", "skip_mapper"
_PACK_LEVEL = 6
_MOST = 127


class UpdateError(WorkloadError):
    """A form that does not exist, or an update that cannot be made or put back."""


class Form(NamedTuple):
    """The form of an update: which tensors, in which number type, packed or not.

    Attributes:
        what: one of :data:`FORMS`.
        dtype: one of :data:`DTYPES`.
        packed: the file is compressed with zlib.
    """

    what: str
    dtype: str
    packed: bool

    @property
    def text(self) -> str:
        """Return the form as a suite writes it."""
        return "%s/%s%s" % (self.what, self.dtype, "+zlib" if self.packed else "")

    @property
    def file_name(self) -> str:
        """Return the name of its file on the board."""
        return "%s.%s.safetensors%s" % (self.what, self.dtype, ".zz" if self.packed else "")


def parse_form(text: str) -> Form:
    """Parse an update's form, ``WHAT[/DTYPE][+zlib]``.

    Raises:
        UpdateError: names what is allowed.
    """
    rest, plus, packing = str(text).partition("+")
    what, slash, dtype = rest.partition("/")
    if not slash:
        dtype = "float32"
    if what not in FORMS or dtype not in DTYPES or (plus and packing != "zlib"):
        raise UpdateError(
            "update %r: expected FORM[/TYPE][+zlib] with FORM one of %s, TYPE one of %s"
            % (text, ", ".join(FORMS), ", ".join(DTYPES))
        )
    return Form(what, dtype, bool(plus))


class Values(NamedTuple):
    """A tensor's float32 values, flat, in the machine's byte order."""

    shape: Tuple[int, ...]
    data: "array[float]"


class Exported(NamedTuple):
    """A network after its fine-tuning.

    Attributes:
        weights: every tensor, by the names of the weights artefact; adapters are merged.
        changed: names of those that the method can change.
        base: what those were before.
        adapter: ``NAME.extractor``, ``NAME.mapper``, and the tensors that changed besides; empty without adapters.
        scale: factor of the adapters' part.
    """

    weights: Dict[str, Values]
    changed: Tuple[str, ...]
    base: Dict[str, Values]
    adapter: Dict[str, Values]
    scale: float


class Entry(NamedTuple):
    """One update's file, as the index describes it.

    Attributes:
        name: of the file.
        form, dtype, packed: see :class:`Form`.
        size_b, sha256: of the file as it travels.
        safetensors_b: of the safetensors file: ``header_b + tensor_b``; equals ``size_b`` unless packed.
        header_b: length, names, shapes and metadata.
        tensor_b: the values, int8 scales included.
        n_tensors, n_values: of the update, scales not counted.
        max_error, rms_error: of the values against float32.
        made_s: converting, writing and compressing, on the board.
    """

    name: str
    form: str
    dtype: str
    packed: bool
    size_b: int
    sha256: str
    safetensors_b: int
    header_b: int
    tensor_b: int
    n_tensors: int
    n_values: int
    max_error: float
    rms_error: float
    made_s: float


def chosen(exported: Exported, what: str) -> Dict[str, Values]:
    """Return the float32 values of a form.

    Raises:
        UpdateError: the method has no adapters, or changes nothing.
    """
    if what == "weights":
        return exported.weights
    if what == "adapter":
        if not exported.adapter:
            raise UpdateError("the method has no adapters: its update is the delta")
        return exported.adapter
    if not exported.changed:
        raise UpdateError("the method changes nothing: there is no update to ship")
    return {name: _difference(exported.weights[name], exported.base[name]) for name in exported.changed}


def _difference(after: Values, before: Values) -> Values:
    pairs = zip(after.data, before.data)  # noqa: B905  Python 3.10
    return Values(after.shape, array("f", [new - old for new, old in pairs]))


def stored_dtype(form: Form, name: str, shape: Sequence[int]) -> str:
    """Return the safetensors dtype of a tensor of an update."""
    statistics = form.what != "weights" and name.rpartition(".")[2] in STATISTICS
    return "F32" if statistics or (form.dtype == "int8" and len(shape) < 2) else DTYPES[form.dtype]


def rows_of(shapes: Dict[str, Tuple[int, ...]], form: Form) -> List[safetensors.Row]:
    """Return the file's entries for the tensors of an update, int8 scales included."""
    rows: List[safetensors.Row] = []
    for name, shape in shapes.items():
        stored = stored_dtype(form, name, shape)
        rows.append((name, stored, shape))
        if stored == "I8":
            rows.append((name + ".scale", "F32", (1,)))
    return rows


def metadata_of(
    form: Form, *, method: str, scale: float, base_sha256: str, error: Tuple[float, float]
) -> Dict[str, str]:
    """Return the metadata of an update's file; every value but the method's name has a fixed width.

    Args:
        error: largest and rms.
    """
    return {
        "schema": SCHEMA,
        "form": form.what,
        "dtype": form.dtype,
        "method": method,
        "scale": "%.9e" % scale,
        "base_sha256": base_sha256,
        "max_error": "%.6e" % error[0],
        "rms_error": "%.6e" % error[1],
        # of the whole file, with this value as it stands here
        SEAL: BLANK,
    }


def sealed(head: bytes, body: bytes) -> bytes:
    """Return the file with its own SHA-256 in its header, so that no byte of it can change unnoticed."""
    digest = hashlib.sha256(head + body).hexdigest()
    mark = ('"%s":"' % SEAL).encode("ascii")
    return head.replace(mark + BLANK.encode("ascii"), mark + digest.encode("ascii"), 1) + body


def foretold_b(shapes: Dict[str, Tuple[int, ...]], form: Form, method: str) -> Tuple[int, int]:
    """Return the bytes of the header and of the values of an update's safetensors file, from its shapes alone."""
    rows = rows_of(shapes, form)
    metadata = metadata_of(form, method=method, scale=1.0, base_sha256=BLANK, error=(0.0, 0.0))
    values_b = sum(safetensors.ITEM_B[dtype] * safetensors.product(shape) for _, dtype, shape in rows)
    return len(safetensors.header(rows, metadata)), values_b


def quantised(name: str, item: Values, form: Form) -> Dict[str, Tensor]:
    """Return the tensors that a file holds for one tensor: itself, and its scale if it is int8.

    Raises:
        UpdateError: a value is not finite or too large for the type.
    """
    largest = max((abs(value) for value in item.data), default=0.0)
    if not math.isfinite(sum(item.data)) or not math.isfinite(largest):
        raise UpdateError("%s holds a value that is not finite" % name)
    stored = stored_dtype(form, name, item.shape)
    if stored != "I8":
        try:
            return {name: safetensors.tensor(stored, item.shape, item.data)}
        except safetensors.TensorFileError as error:
            raise UpdateError("%s: %s" % (name, error)) from None
    scale = array("f", [largest / _MOST])[0] or 1.0
    steps = [max(-_MOST, min(_MOST, round(value / scale))) for value in item.data]
    return {
        name: safetensors.tensor("I8", item.shape, steps),
        name + ".scale": safetensors.tensor("F32", (1,), [scale]),
    }


def dequantised(tensors: Dict[str, Tensor]) -> Dict[str, Values]:
    """Return the float32 values that a receiver makes of an update's tensors."""
    values: Dict[str, Values] = {}
    for name, item in tensors.items():
        if item.dtype == "I8":
            scale = tensors[name + ".scale"].values()[0]
            values[name] = Values(item.shape, array("f", [scale * step for step in item.values()]))
        elif not (name.endswith(".scale") and name[: -len(".scale")] in tensors):
            values[name] = Values(item.shape, item.values())
    return values


def error_of(exact: Dict[str, Values], again: Dict[str, Values]) -> Tuple[float, float]:
    """Return the largest and the root-mean-square difference over all values of two sets of tensors."""
    largest, squares, count = 0.0, 0.0, 0
    for name, item in exact.items():
        for value, other in zip(item.data, again[name].data):  # noqa: B905  Python 3.10
            difference = abs(value - other)
            largest = max(largest, difference)
            squares += difference * difference
        count += len(item.data)
    return largest, math.sqrt(squares / count) if count else 0.0


def make(exported: Exported, form: Form, method: str, base_sha256: str) -> Tuple[bytes, Entry]:
    """Return an update's bytes as they travel, and its entry in the index; the caller fills in ``made_s``.

    Raises:
        UpdateError: the method has no such form, or a value does not fit.
    """
    exact = chosen(exported, form.what)
    tensors: Dict[str, Tensor] = {}
    for name, item in exact.items():
        tensors.update(quantised(name, item, form))
    largest, rms = (0.0, 0.0) if form.dtype == "float32" else error_of(exact, dequantised(tensors))
    rows = [(name, item.dtype, item.shape) for name, item in tensors.items()]
    body = b"".join(tensors[name].data for name, _, _ in safetensors.ordered(rows))
    metadata = metadata_of(
        form, method=method, scale=exported.scale, base_sha256=base_sha256, error=(largest, rms)
    )
    head = safetensors.header(rows, metadata)
    plain = sealed(head, body)
    raw = zlib.compress(plain, _PACK_LEVEL) if form.packed else plain
    entry = Entry(
        name=form.file_name,
        form=form.what,
        dtype=form.dtype,
        packed=form.packed,
        size_b=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        safetensors_b=len(plain),
        header_b=len(head),
        tensor_b=len(body),
        n_tensors=len(exact),
        n_values=sum(len(item.data) for item in exact.values()),
        max_error=largest,
        rms_error=rms,
        made_s=0.0,
    )
    return raw, entry


def write(
    job_dir: str, forms: Sequence[Form], exported: Union[Exported, str], method: str, base_path: str
) -> Dict[str, Any]:
    """Write a job's updates, and last their index: where it is there, all is written. Return the index.

    A form that cannot be made is named in ``left_out`` with the reason; the others are written.

    Args:
        exported: the network, or why it is not to be had.
        base_path: the weights artefact that it started from.
    """
    folder = os.path.join(job_dir, FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    base_sha256 = _sha256(base_path)
    entries: List[Dict[str, Any]] = []
    left_out: Dict[str, str] = {}
    for form in forms:
        if isinstance(exported, str):
            left_out[form.text] = exported
            continue
        begun_s = time.monotonic()
        try:
            raw, entry = make(exported, form, method, base_sha256)
            with open(os.path.join(folder, form.file_name), "wb") as file:
                file.write(raw)
        except (UpdateError, MemoryError, OSError) as error:
            left_out[form.text] = str(error) or type(error).__name__
            continue
        entries.append(dict(entry._asdict(), made_s=time.monotonic() - begun_s))
    index = {
        "schema": INDEX_SCHEMA,
        "method": method,
        "base_sha256": base_sha256,
        "files": entries,
        "left_out": left_out,
    }
    part = os.path.join(folder, "index.json.part")
    with open(part, "w") as file:
        json.dump(index, file, sort_keys=True, allow_nan=False)
    os.replace(part, os.path.join(folder, "index.json"))
    return index


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 18), b""):
            digest.update(chunk)
    return digest.hexdigest()


def rebuild(base: Dict[str, Values], update: TensorFile) -> Dict[str, Values]:
    """Return a network's tensors as the receiver runs them, from its base and an update that was verified.

    An adapter is folded into its weight: W + scale * mapper . extractor, in float64, group by group. What travels beside
    adapters takes the base's place first. Skip adapters of a network stand beside its tensors, their mapper with the
    scale in it.

    Raises:
        UpdateError: the update names a tensor that the base does not have.
    """
    values = dequantised(update.tensors)
    form = update.metadata.get("form")
    rebuilt = dict(base)
    if form == "adapter":
        rebuilt.update((name, item) for name, item in values.items() if name in base)
    for name, item in values.items():
        target = name.rsplit(".", 1)[0] + ".weight" if form == "adapter" else name
        if name.startswith(SKIP_PREFIX):  # a skip adapter, which stands beside the network's tensors
            scaled = form == "adapter" and name == SKIP_MAPPER + ".weight"
            scale = float(update.metadata["scale"]) if scaled else 1.0
            rebuilt[name] = Values(item.shape, array("f", [scale * value for value in item.data]))
            continue
        if target not in base:
            raise UpdateError("the base has no tensor %r" % target)
        if form == "weights":
            rebuilt[name] = item
        elif form == "delta":
            pairs = zip(base[name].data, item.data)  # noqa: B905  Python 3.10
            rebuilt[name] = Values(item.shape, array("f", [old + change for old, change in pairs]))
        elif name.endswith(".extractor"):
            mapper = values[name[: -len(".extractor")] + ".mapper"]
            rebuilt[target] = _folded(rebuilt[target], item, mapper, float(update.metadata["scale"]))
    return rebuilt


def _folded(weight: Values, extractor: Values, mapper: Values, scale: float) -> Values:
    rank = mapper.shape[1]
    groups = extractor.shape[0] // rank
    width = safetensors.product(extractor.shape[1:])
    rows = weight.shape[0] // groups
    folded = array("f", weight.data)
    for out in range(weight.shape[0]):
        low = (out // rows) * rank
        parts = [mapper.data[out * rank + k] * scale for k in range(rank)]
        for column in range(width):
            at = out * width + column
            folded[at] = weight.data[at] + sum(
                part * extractor.data[(low + k) * width + column] for k, part in enumerate(parts)
            )
    return Values(weight.shape, folded)
