"""Keys of training in a suite: what they become, what a mistake is told, and who refuses what it cannot honour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.suite import Workload, load_suite
from tunebench.harness.errors import UsageError
from tunebench.workloads.engines import ENGINES
from tunebench.workloads.tasks.training import PLAIN, Training

ENTRY = '[[workload]]\ndataset = "{dataset}"\nmodel = "{model}"\n{keys}\n'


def _loaded(
    tmp_path: Path, *entries: str, model: str = "mlp", dataset: str = "digits"
) -> dict[str, Workload]:
    """Workloads by label of a suite with an entry for each text of keys; no controls."""
    text = '[suite]\nname = "mine"\nblocks = 1\naa = false\n' + "".join(
        ENTRY.format(model=model, dataset="spam-mail" if ":" in model else dataset, keys=keys)
        for keys in entries
    )
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "my_ft.py").write_text("pass\n")
    return {workload.label: workload for workload in load_suite(str(tmp_path / "mine.toml")).workloads}


def _refused(tmp_path: Path, *entries: str, **names: str) -> str:
    with pytest.raises(UsageError) as caught:
        _loaded(tmp_path, *entries, **names)
    return str(caught.value)


def test_a_workload_without_them_has_the_parameters_it_always_had(tmp_path):
    spelled = (
        'optimizer = "sgd"\nschedule = "constant"\nweight_decay = 0\nbatchnorm = "frozen"\nhead = "method"\n'
        "lora_plus = 1"
    )
    for keys in ("", spelled):
        (workload,) = _loaded(tmp_path, 'methods = ["lora-all"]\n' + keys).values()
        assert dict(workload.params) == {
            "epochs": 200, "batch": 20, "lr": 0.02, "rank": 4, "scale": 1.0, "warmup_steps": 3,
        }  # fmt: skip


def test_they_travel_with_the_parameters_and_those_of_adapters_only_where_there_are_any(tmp_path):
    keys = (
        'methods = ["ft-all", "skip2-lora"]\noptimizer = "adamw"\nschedule = "cosine"\nclip = 1\nweight_decay = 0.01\n'
        "alpha = 8\nlora_plus = 4"
    )
    plain, adapted = (dict(workload.params) for workload in _loaded(tmp_path, keys).values())
    asked = {"optimizer": "adamw", "schedule": "cosine", "clip": 1.0, "weight_decay": 0.01}
    assert plain.items() >= {**asked, "scale": 1.0}.items() and not {"alpha", "lora_plus"} & set(plain)
    assert adapted.items() >= {**asked, "alpha": 8.0, "lora_plus": 4.0}.items() and "scale" not in adapted


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            'optimizer = "adam"',
            "key 'workload.optimizer': unknown optimizer 'adam'; allowed: sgd, momentum, adamw",
        ),
        ('optimiser = "adamw"', "unknown key 'optimiser' (did you mean 'optimizer'?)"),
        ("optimizer = 3", "key 'workload.optimizer': must be text in quotes"),
        ('schedule = "linear"', "unknown schedule 'linear'; allowed: constant, cosine"),
        ("clip = 0", "key 'workload.clip': must be greater than 0 (got 0)"),
        ("clip = true", "key 'workload.clip': must be a number (got true)"),
        ("clip = inf", "key 'workload.clip': must be a finite number (got inf)"),
        ("weight_decay = -0.1", "key 'workload.weight_decay': must be greater than or equal to 0 (got -0.1)"),
        ("lora_plus = 0.0", "key 'workload.lora_plus': must be greater than 0 (got 0.0)"),
        ("alpha = 0", "key 'workload.alpha': must be greater than 0 (got 0)"),
        ("alpha = 8\nscale = 1.0", "'alpha' and 'scale' exclude each other: scale is alpha / rank"),
        ('batchnorm = "train"', "allowed: frozen, reestimated, affine, reestimated+affine"),
        ('head = "full"', "unknown head 'full'; allowed: method, trained"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(tmp_path, keys, words):
    assert words in _refused(tmp_path, 'methods = ["lora-all"]\n' + keys)


@pytest.mark.parametrize("key", ["alpha", "lora_plus"])
def test_settings_of_adapters_need_a_method_that_has_some(tmp_path, key):
    words = _refused(tmp_path, f'methods = ["ft-all", "ft-bias"]\n{key} = 8')
    assert (
        f"'{key}' is about adapters, and ft-all, ft-bias have none; methods of model 'mlp' that have: "
        in words
    )
    scaled = "lora-fa, " if key == "alpha" else ""  # its A has no rate
    assert words.endswith(
        f"ft-all-lora, lora-all, {scaled}lora-last, skip-lora, skip2-lora, lora-last-cached"
    )
    assert (
        f"'{key}' is about adapters, and ft-all has none; methods of model 'cnn' that have: lora-last, lorae"
        in (_refused(tmp_path, f'methods = ["ft-all"]\n{key} = 8', model="cnn"))
    )


def test_a_method_whose_a_is_frozen_has_no_rate_of_b_over_it(tmp_path):
    words = _refused(tmp_path, 'methods = ["ft-all", "lora-fa"]\nlora_plus = 8')
    assert (
        "'lora_plus' is the rate of adapters' B over that of A, and ft-all, lora-fa train no A; methods"
        in words
    )


_OTHER = Training("adamw", "cosine", 1.0, 0.1, "reestimated", "trained", 4.0, 2)


def _subject(engine: str) -> tuple[str, str, str]:
    """Return a model, a data set and a method with adapters that an engine runs."""
    entry = ENGINES[engine]
    if entry.text:
        return "shape:minilm-l6", "spam-mail", "lora-all"
    return ("mlp", "digits", "lora-all") if "mlp" in entry.models else ("resnet-small", "mnist", "lora-last")


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("key", Training._fields)
def test_an_engine_takes_the_keys_that_it_honours_and_refuses_all_others_by_name(tmp_path, engine, key):
    value = getattr(_OTHER, key)
    assert value != getattr(PLAIN, key)
    written = f'"{value}"' if isinstance(value, str) else value
    model, dataset, method = _subject(engine)
    keys = f'engine = "{engine}"\nmethods = ["{method}"]\n{key} = {written}'
    if key in ENGINES[engine].training:
        assert _loaded(tmp_path, keys, model=model, dataset=dataset)[method].params[key] == value
    else:
        able = [
            name for name, entry in ENGINES.items() if key in entry.training and entry.runs(model, "cpu", 1)
        ]
        assert _refused(tmp_path, keys, model=model, dataset=dataset).endswith(
            f"engine '{engine}' does not have {key} = {value!r}; engines that do: "
            + (", ".join(able) or "none of this version")
        )


def test_a_network_on_the_native_engine_keeps_its_trunk_frozen_or_is_refused_before_any_board(tmp_path):
    keys = 'engine = "native"\nmethods = ["ft-last-cached", "skip2-lora", "untrained"]'
    assert set(_loaded(tmp_path, keys, model="resnet-small", dataset="mnist")) == {
        "ft-last-cached",
        "skip2-lora",
        "untrained",
    }
    adapters = 'engine = "native"\nmethods = ["lorae", "lora-all"]'
    assert set(_loaded(tmp_path, adapters, model="resnet-small", dataset="mnist")) == {"lorae", "lora-all"}
    words = _refused(tmp_path, adapters, model="mobilenetv2-small", dataset="mnist")
    assert "adapters, but not through a depthwise convolution, node 'stage0_0_depth'" in words
    words = _refused(
        tmp_path,
        'engine = "native"\nmethods = ["skip2-lora", "ft-bias"]',
        model="resnet-small",
        dataset="mnist",
    )
    assert "engine 'native' keeps a network's trunk frozen, method 'ft-bias' trains it" in words
    words = _refused(
        tmp_path,
        'engine = "native"\nmethods = ["skip2-lora"]\nhead = "trained"',
        model="resnet-small",
        dataset="mnist",
    )
    assert "engine 'native' does not have head = 'trained'" in words
    words = _refused(
        tmp_path, 'engine = "native"\nmethods = ["ft-last"]', model="unet-small", dataset="shapes"
    )
    assert "engine 'native' runs model 'mlp', and classifiers of images whose trunk stays frozen" in words


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_alpha_is_settled_before_an_engine_sees_it(tmp_path, engine):
    model, dataset, method = _subject(engine)
    keys = f'engine = "{engine}"\nmethods = ["{method}"]\nalpha = 8'
    assert _loaded(tmp_path, keys, model=model, dataset=dataset)[method].params["alpha"] == 8.0


def test_a_method_of_ones_own_gets_scale_and_refuses_what_nobody_would_see_it_ignore(tmp_path):
    own = 'label = "mine"\nmodule = "my_ft.py"\nfiles = ["my_ft.py"]\n'
    params = _loaded(tmp_path, own + "alpha = 8")["mine"].params
    assert params["scale"] == 2.0 and "alpha" not in params
    words = _refused(tmp_path, own + 'optimizer = "adamw"')
    assert words.endswith(
        "workload 'mine': 'optimizer' goes with built-in methods; hand a method of your own what it needs by 'params'"
    )


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ("", 'optimizer = "adamw"\nschedule = "cosine"', "lora-all adamw cosine"),
        ('optimizer = "adamw"', "", "lora-all adamw"),
        ("", "clip = 0.5\nlr = 0.05", "lora-all lr 0.05 clip 0.5"),
        ("alpha = 8\nrank = 4", "alpha = 8\nrank = 8", "lora-all rank 8"),
        ("", "alpha = 8", "lora-all alpha 8"),
    ],
)
def test_the_same_method_with_other_settings_needs_a_label_and_one_is_proposed(
    tmp_path, first, second, label
):
    entries = [f'methods = ["lora-all"]\n{keys}' for keys in (first, second)]
    words = _refused(tmp_path, *entries)
    assert f"'lora-all' is given twice; give one a 'task' or 'label', e.g. label = \"{label}\"" in words
    assert set(_loaded(tmp_path, entries[0], f'{entries[1]}\nlabel = "{label}"')) == {"lora-all", label}


def test_equal_workloads_are_given_no_label(tmp_path):
    entry = 'methods = ["lora-all"]'
    assert _refused(tmp_path, entry, entry).endswith("is given twice; give one a 'task' or 'label'")


def test_a_control_beside_methods_that_honour_a_key_goes_without_it(tmp_path):
    keys = (
        'methods = ["untrained", "reestimated", "lora-all"]\noptimizer = "adamw"\nclip = 1\nalpha = 8\n'
        'batchnorm = "reestimated+affine"\nhead = "trained"'
    )
    loaded = _loaded(tmp_path, keys)
    asked = {"optimizer", "clip", "alpha", "batchnorm", "head"}
    assert not asked & set(loaded["untrained"].params) and not asked & set(loaded["reestimated"].params)
    assert asked <= set(loaded["lora-all"].params)


@pytest.mark.parametrize(
    ("methods", "key", "words"),
    [
        (["untrained", "reestimated"], 'optimizer = "adamw"', "'optimizer' means nothing for untrained, reestimated"),
        (["untrained"], 'head = "trained"', "'head' means nothing for untrained"),
        (["reestimated"], 'batchnorm = "affine"', "'batchnorm' means nothing for reestimated"),
        (["skip2-lora"], 'batchnorm = "affine"', "'skip2-lora' caches activations, which workload.batchnorm 'affine'"),
    ],
)  # fmt: skip
def test_keys_that_no_method_honours_are_refused_before_a_board_is_asked(tmp_path, methods, key, words):
    message = _refused(tmp_path, f"methods = {methods}\n{key}")
    assert words in message and "lora-all" in message


def test_what_the_native_engine_does_not_do_to_batchnorm_is_refused_before_a_board_is_asked(tmp_path):
    assert _loaded(tmp_path, 'engine = "native"\nmethods = ["untrained"]')
    assert _refused(tmp_path, 'engine = "native"\nmethods = ["reestimated"]').endswith(
        "engine 'native' leaves BatchNorm frozen, method 'reestimated' changes it; engines that do: torch"
    )
