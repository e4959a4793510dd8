"""What follows a fine-tuning: merged, saved, loaded again; each phase with its seconds and peak, or the reason."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'tunebench[language]'"
)
from safetensors.torch import load_file  # noqa: E402

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tests.workloads.tiny_transformer import write_model  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.session import Told  # noqa: E402
from tunebench.workloads.engines.transformers import keeping  # noqa: E402

pytestmark = pytest.mark.torch


class Heard(Told):
    """Keeps what is told."""

    def __init__(self):
        self.begun, self.phases, self.reasons = [], {}, {}

    def begins(self, phase):
        self.begun.append(phase)

    def ended(self, phase, seconds, peak_b):
        self.phases[phase] = (seconds, peak_b)

    def has_none(self, phase, reason):
        self.reasons[phase] = reason


@pytest.fixture
def kept(monkeypatch):
    """Return a function that trains and keeps; no new process is started."""
    monkeypatch.setattr(keeping, "reload", lambda folder: {"seconds": 0.5, "peak_b": 7})

    def keep(task, folder):
        session = load_engine("transformers", "folder:model").Session(task)
        losses_of(session, 1)
        tokens, mask = session._batch(session.batches[0][0])
        with torch.no_grad():
            states = session.model.trunk(input_ids=tokens, attention_mask=mask).last_hidden_state
        heard = Heard()
        session.keep(str(folder), heard)
        loaded = transformers.AutoModel.from_pretrained(folder).eval()
        with torch.no_grad():
            again = loaded(input_ids=tokens, attention_mask=mask).last_hidden_state
        assert torch.allclose(states, again, atol=1e-5)
        return heard

    return keep


@pytest.mark.parametrize("name", ["lora-all", "ft-all"])
def test_what_is_saved_is_what_was_trained_with_its_adapters_merged(kept, task_of, tmp_path, name):
    heard = kept(task_of(name, checkpoint=True), tmp_path)
    assert heard.phases["reload"] == (0.5, 7)
    assert heard.phases["save"][0] > 0 and heard.phases["save"][1] > 0
    if name == "lora-all":
        assert set(heard.phases) == set(heard.begun) == {"merge", "save", "reload"}
    else:
        assert "the method has no adapters beside layers" in heard.reasons["merge"]
    assert set(load_file(tmp_path / keeping.BESIDE)) == {"head.weight", "head.bias"}


@pytest.mark.parametrize(("name", "form"), [("lora-all", "nf4"), ("lora-last", "int8")])
def test_a_packed_base_is_saved_in_float32_with_its_adapters_merged(kept, task_of, tmp_path, name, form):
    pytest.importorskip(
        "bitsandbytes", reason="bitsandbytes is not installed: pip install --no-deps bitsandbytes"
    )
    heard = kept(task_of(name, quantized_base=form), tmp_path)
    assert set(heard.phases) == {"merge", "save", "reload"}
    saved = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}


def test_skip_adapters_are_saved_beside_since_they_merge_into_nothing(kept, task_of, tmp_path):
    heard = kept(task_of("skip2-lora"), tmp_path)
    assert "past every weight" in heard.reasons["merge"]
    beside = load_file(tmp_path / keeping.BESIDE)
    assert {"mapper", "low0", "low1", "low2", "head.weight"} <= set(beside)


def test_a_language_model_keeps_its_tied_output_in_the_trunk(kept, language_task_of, tmp_path):
    heard = kept(language_task_of("lora-all"), tmp_path)
    assert "reload" in heard.phases and not (tmp_path / keeping.BESIDE).exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("sh", "-c", "kill -9 $$"), "out of memory: the new process was killed by SIGKILL"),
        (("sh", "-c", "exit 3"), "ended without an answer, with exit code 3"),
        (("sh", "-c", 'echo \'tunebench: {"reason": "out of memory: x"}\''), "out of memory: x"),
        (("no-such-python",), "did not answer"),
    ],
)
def test_a_new_process_that_does_not_load_it_is_told_with_its_reason(tmp_path, words, reason):
    assert reason in keeping.reload(str(tmp_path), words)["reason"]


@pytest.mark.slow
def test_a_reload_that_memory_is_refused_to_is_an_outcome_with_that_reason(tmp_path):
    """A real new process, which may take 4 MiB beyond what its packages took; its network needs more."""
    size = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 2}
    write_model(tmp_path / "model", **size)
    lines = (
        "import resource, sys, torch, transformers, safetensors.torch",
        "from transformers import AutoModel, BertModel",
        "from tunebench.workloads.engines.transformers.reload import main",
        "from tunebench.workloads.marks.peak_memory import status_b",
        "most_b = status_b('VmSize') + 4 * 1024 * 1024",
        "resource.setrlimit(resource.RLIMIT_AS, (most_b, most_b))",
        "sys.exit(main(sys.argv[-1]))",
    )
    answer = keeping.reload(str(tmp_path / "model"), (sys.executable, "-c", "\n".join(lines)))
    assert set(answer) == {"reason"} and answer["reason"].startswith("out of memory: "), answer


def test_what_memory_refuses_is_called_so():
    allocator = RuntimeError("[enforce fail at alloc_cpu.cpp:132] DefaultCPUAllocator: can't allocate memory")
    assert keeping.why(MemoryError()) == "out of memory: MemoryError"
    assert keeping.why(allocator).startswith("out of memory: [enforce fail")
    assert keeping.why(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"


def test_a_phase_that_fails_ends_what_follows(task_of, tmp_path, monkeypatch):
    def refuse(model, folder):
        raise MemoryError

    monkeypatch.setattr(keeping, "_saved", refuse)
    session = load_engine("transformers", "folder:model").Session(task_of("lora-all"))
    heard = Heard()
    session.keep(str(tmp_path), heard)
    assert set(heard.phases) == {"merge"} and heard.reasons == {"save": "out of memory: MemoryError"}
    assert "reload" not in heard.begun
