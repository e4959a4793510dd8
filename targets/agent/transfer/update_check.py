"""Whether an update may replace what a model runs on: whole, unaltered, of this base, of its shapes and types.

The same checks run on a board before it applies an update, and on the host before it believes one.
"""

import hashlib
import zlib
from typing import Any, BinaryIO, Dict, NamedTuple, Tuple

from tunebench.targets.agent import protocol
from tunebench.targets.agent.transfer import safetensors
from tunebench.targets.agent.transfer.safetensors import Entry, Head, Refused

SCHEMA = "tunebench.update/1"
FORMS = ("weights", "delta", "adapter")
#: dtype of an update -> type of its tensors; int8 leaves those of one dimension in float32
DTYPES = {"float32": "F32", "float16": "F16", "int8": "I8"}
#: Last parts of the names of BatchNorm's statistics: float32 in every type, but where all weights travel.
STATISTICS = ("mean", "variance")
#: Key of a file's own SHA-256 in its metadata.
SEAL = "file_sha256"
#: Beyond that an update is not unpacked, whatever it says of itself.
MAX_UPDATE_B = 64 * 1024 * 1024
_MAX_BASE_HEADER_B = 1024 * 1024

Shape = Tuple[int, ...]


class Base(NamedTuple):
    """The weights that an update is meant for.

    Attributes:
        sha256: of the weights artefact.
        shapes: of its tensors, by name.
    """

    sha256: str
    shapes: Dict[str, Shape]


def read_base(path: str) -> Base:
    """Read the base from its artefact file (``.tbx``: one JSON line, then the tensors).

    Raises:
        Refused: the file is not there or is no artefact.
    """
    try:
        with open(path, "rb") as file:
            return base_of(file)
    except OSError as error:
        raise Refused("the base weights cannot be read: %s" % error) from None


def base_of(file: BinaryIO) -> Base:
    """Read the same from an open file.

    Raises:
        Refused: it is no artefact.
    """
    digest = hashlib.sha256()
    line = file.readline(_MAX_BASE_HEADER_B)
    digest.update(line)
    for chunk in iter(lambda: file.read(1 << 18), b""):
        digest.update(chunk)
    try:
        rows = protocol.loads(line.decode("utf-8"))["tensors"]
        shapes = {str(row["name"]): tuple(int(size) for size in row["shape"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("the base weights are no artefact: %r" % error) from None
    return Base(digest.hexdigest(), shapes)


def unpacked(raw: bytes, packed: bool, limit_b: int = MAX_UPDATE_B) -> bytes:
    """Return the safetensors file in an update as it travelled.

    Raises:
        Refused: it does not unpack to one whole stream of acceptable size.
    """
    if not packed:
        return raw
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(raw, limit_b)
    except zlib.error as error:
        raise Refused("it does not unpack: %s" % error) from None
    if engine.unconsumed_tail or not engine.eof or engine.unused_data:
        raise Refused("it does not unpack to one whole stream of at most %d bytes" % limit_b)
    return plain


def check(raw: bytes, sha256: str, packed: bool, base: Base) -> bytes:
    """Accept an update or refuse it.

    Args:
        raw: as it travelled.
        sha256: what its sender says of it.
        packed: it is compressed.
        base: what it is to be applied to.

    Returns:
        the safetensors file.

    Raises:
        Refused: says what does not fit.
    """
    actual = hashlib.sha256(raw).hexdigest()
    if actual != sha256:
        raise Refused("SHA-256 is %s, announced was %.80s" % (actual, sha256))
    plain = unpacked(raw, packed)
    head = safetensors.read_head(plain)
    form, dtype = _check_metadata(head, base)
    _check_seal(plain, head)
    values = _without_scales(head)
    _check_types(values, form, dtype)
    _check_shapes(values, form, base)
    for name, entry in head.tensors.items():
        safetensors.check_finite(plain, name, entry)
    return plain


def _check_seal(plain: bytes, head: Head) -> None:
    """Check that the header holds the SHA-256 of the whole file, taken with 64 zeros in its own place."""
    announced = head.metadata.get(SEAL, "")
    mark = ('"%s":"' % SEAL).encode("ascii")
    first = plain[: head.size_b]
    if len(announced) != 64 or first.count(mark) != 1 or mark + announced.encode("utf-8") not in first:
        raise Refused("its header names no SHA-256 of its own")
    blank = first.replace(mark + announced.encode("utf-8"), mark + b"0" * 64)
    digest = hashlib.sha256(blank)
    digest.update(memoryview(plain)[head.size_b :])
    if digest.hexdigest() != announced:
        raise Refused("it has SHA-256 %s, its header names %s" % (digest.hexdigest(), announced))


def _check_metadata(head: Head, base: Base) -> Tuple[str, str]:
    metadata = head.metadata
    schema = metadata.get("schema", "")
    if schema != SCHEMA and not schema.startswith(SCHEMA + "."):
        raise Refused("schema %.80r, expected %r" % (schema, SCHEMA))
    if metadata.get("base_sha256") != base.sha256:
        raise Refused("it is for the base %.80s, here is %s" % (metadata.get("base_sha256"), base.sha256))
    form, dtype = metadata.get("form", ""), metadata.get("dtype", "")
    if form not in FORMS or dtype not in DTYPES:
        raise Refused("form %.40r and type %.40r are not known" % (form, dtype))
    try:
        scale = float(metadata.get("scale", ""))
    except ValueError:
        scale = 0.0
    if not 0.0 < scale < 1e6:
        raise Refused("the adapters' scale %.40r is no factor" % metadata.get("scale"))
    return form, dtype


def _without_scales(head: Head) -> Dict[str, Entry]:
    """Return the tensors but the scales of int8 ones, each of which must be there."""
    tensors = dict(head.tensors)
    for name, entry in head.tensors.items():
        if entry.dtype == "I8":
            scale = tensors.pop(name + ".scale", None)
            if scale is None or (scale.dtype, scale.shape) != ("F32", (1,)):
                raise Refused("tensor %.80r has no scale" % name)
    if not tensors:
        raise Refused("it holds no tensor")
    return tensors


def _check_types(values: Dict[str, Entry], form: str, dtype: str) -> None:
    for name, entry in values.items():
        statistics = form != "weights" and name.rpartition(".")[2] in STATISTICS
        wanted = "F32" if statistics or (dtype == "int8" and len(entry.shape) < 2) else DTYPES[dtype]
        if entry.dtype != wanted:
            raise Refused("tensor %.80r is %s in an update of %s" % (name, entry.dtype, dtype))


def _check_shapes(values: Dict[str, Entry], form: str, base: Base) -> None:
    if form == "adapter":
        _check_adapters(values, base)
        return
    for name, entry in values.items():
        _check_shape(name, entry, base)
    missing = sorted(set(base.shapes) - set(values))
    if form == "weights" and missing:
        raise Refused("it lacks %.80r" % missing[0])


def _check_shape(name: str, entry: Entry, base: Base) -> None:
    wanted: Any = base.shapes.get(name)
    if wanted is None:
        raise Refused("tensor %.80r is none of the base" % name)
    if entry.shape != wanted:
        raise Refused("tensor %.80r has shape %s, the base's %s" % (name, list(entry.shape), list(wanted)))


def _check_adapters(values: Dict[str, Entry], base: Base) -> None:
    """Check adapters, and the tensors of the base that changed besides and travel with them."""
    names = set()
    for name, entry in values.items():
        layer, dot, part = name.rpartition(".")
        if dot and part in ("extractor", "mapper"):
            names.add(layer)
        elif name in base.shapes:
            _check_shape(name, entry, base)
        else:
            raise Refused("tensor %.80r is no part of an adapter and none of the base" % name)
    if not names:
        raise Refused("it holds no adapter")
    for layer in sorted(names):
        extractor, mapper = values.get(layer + ".extractor"), values.get(layer + ".mapper")
        weight = base.shapes.get(layer + ".weight")
        if extractor is None or mapper is None or weight is None:
            raise Refused(
                "layer %.80r: an adapter is an extractor, a mapper, and a weight of the base" % layer
            )
        if not _fits(extractor.shape, mapper.shape, weight):
            raise Refused(
                "layer %.80r: an adapter of shapes %s and %s does not fit the weight's %s"
                % (layer, list(extractor.shape), list(mapper.shape), list(weight))
            )


def _fits(extractor: Shape, mapper: Shape, weight: Shape) -> bool:
    if len(weight) < 2 or len(extractor) != len(weight) or len(mapper) != len(weight):
        return False
    rank = mapper[1]
    return (
        rank >= 1
        and extractor[0] >= rank
        and extractor[0] % rank == 0
        and weight[0] % (extractor[0] // rank) == 0
        and extractor[1:] == weight[1:]
        and mapper == (weight[0], rank) + (1,) * (len(weight) - 2)
    )
