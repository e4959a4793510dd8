"""A tiny transformer as its folder on disk, and mails of a few words: real files, read by the real packages."""

from __future__ import annotations

import json
from pathlib import Path

HAM, SPAM = ("meeting", "report", "list", "patch"), ("free", "offer", "money", "click")
WORDS = ("the", "a", "of", "to", "you", "we", "our", "at", "in", "on", *HAM, *SPAM)


def write_model(folder: Path, seed: int = 0, **sizes: int) -> Path:
    """Write a BERT of two layers with its tokenizer, as ``save_pretrained`` does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = {
        "vocab_size": len(names), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 64, **sizes,
    }  # fmt: skip
    BertModel(BertConfig(**config)).save_pretrained(folder)
    return folder


def write_mails(path: Path, count: int = 60) -> Path:
    """Write mails as JSON lines, ham and spam in turn, of different lengths."""
    lines = []
    for at in range(count):
        label, own = ("spam", SPAM) if at % 2 else ("ham", HAM)
        words = [
            own[(at // 2 + step) % 4] if step % 3 == 0 else WORDS[(at + 7 * step) % 6]
            for step in range(3 + at % 9)
        ]
        lines.append(json.dumps({"text": " ".join(words), "label": label}))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_decoder(folder: Path, *, tied: bool = True, seed: int = 0) -> Path:
    """Write a Llama of two layers with a tokenizer that adds nothing around a text, as ``save_pretrained`` does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    names = ["[UNK]", "[END]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(names), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, intermediate_size=32, max_position_embeddings=64, tie_word_embeddings=tied, eos_token_id=1,
        bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_corpus(path: Path, count: int = 60) -> Path:
    """Write texts without labels: JSON lines, or paragraphs of a ``.txt``."""
    texts = [" ".join(WORDS[(at + 3 * step) % len(WORDS)] for step in range(8)) for at in range(count)]
    rows = texts if path.suffix == ".txt" else [json.dumps({"text": text}) for text in texts]
    path.write_text(("\n\n" if path.suffix == ".txt" else "\n").join(rows) + "\n")
    return path
