"""One engine on one subject, in a process of its own: ``python -m tests.fuzz.child NAME ENGINE SECONDS FOLDER``."""

from __future__ import annotations

import logging
import os
import resource
import sys
from pathlib import Path
from random import Random

from tests.fuzz.mutators import mutate
from tests.fuzz.subjects import Subject, subject
from tests.fuzz.watch import Watch

#: Top-level packages that are instrumented for the guided engine: ours, and those that read TOML and tar. Atheris looks
#: at the first part of a module's name only.
_OURS = ["tunebench", "tomllib", "tarfile"]
MAX_INPUT_B = 32 * 1024
#: Limit of address space, in bytes; a subject that needs more has crashed (MemoryError).
MAX_MEMORY_B = 3 * 2**30


def guided(chosen: Subject, seconds: float, folder: Path) -> None:
    """Fuzz with Atheris (libFuzzer): inputs that reach new code are kept and changed further."""
    import atheris

    with atheris.instrument_imports(include=_OURS):
        watch = Watch(chosen, "atheris", seconds, folder)
    corpus, seeds = folder / "corpus", chosen.seeds()
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def once(data: bytes) -> None:
        watch.feed(data)
        if watch.over:
            watch.tally.new_corpus = sum(1 for path in corpus.iterdir() if not path.name.startswith("seed-"))
            watch.write()
            os._exit(0)  # libFuzzer never returns

    def change(data: bytes, limit_b: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, limit_b))
        return mutate(chosen.shape, data, random, seeds)[:limit_b]

    options = [f"-max_len={MAX_INPUT_B}", "-timeout=300", "-rss_limit_mb=2048", "-print_final_stats=0"]
    atheris.Setup(
        ["fuzz", *options, f"-artifact_prefix={folder}/killed-", str(corpus)], once, custom_mutator=change
    )
    atheris.Fuzz()


def drawn(chosen: Subject, seconds: float, folder: Path) -> None:
    """Fuzz with Hypothesis: changes of the seeds, drawn again and again until the time is up."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    watch, seeds = Watch(chosen, "hypothesis", seconds, folder), chosen.seeds()

    @st.composite
    def inputs(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        return mutate(chosen.shape, data, draw(st.randoms(use_true_random=False)), seeds)[:MAX_INPUT_B]

    @given(inputs())
    @settings(
        max_examples=500,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def many(data: bytes) -> None:
        if not watch.over:
            watch.feed(data)

    for seed in seeds:
        watch.feed(seed)
    number = 0
    while not watch.over:
        seeded(number)(many)()
        number += 1
    watch.write()


ENGINES = {"atheris": guided, "hypothesis": drawn}


def main() -> None:
    """Run as a child of :mod:`tests.fuzz.__main__`."""
    name, engine, seconds, folder = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_B, MAX_MEMORY_B))
    ENGINES[engine](subject(name), float(seconds), Path(folder))


if __name__ == "__main__":
    main()
