"""Values that would fail in the middle of a run are refused before it; mistakes are blamed on their cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from publius.config.run_file import RunConfig, load_run_config

RUN = "constitution: plain-and-brief\nprompts: prompts.jsonl\nmodels: {policy: some-model}\n"


def load(folder: Path, *overrides: str, run: str = RUN) -> RunConfig:
    (folder / "run.yaml").write_text(run)
    return load_run_config(folder / "run.yaml", overrides)


@pytest.mark.parametrize(
    ("override", "accepted"),
    [
        ("seed=1000000000000000000000", "at most 4,294,967,295"),
        ("lora.r=100000000000", "at most 65536"),
        ("lora.alpha=100000000000", "at most 4,294,967,295"),
        (f"models.policy={'m' * 100_000}", "at most 4,096 characters"),
        (f"models.policy.revision={'m' * 100_000}", "at most 4,096 characters"),
        (f"constitution={'c' * 100_000}", "at most 4,096 characters"),
        (f"prompts={'p' * 100_000}", "at most 4,096 characters"),
        ("critique.draft.stop=['']", "text that is not empty"),
        ("critique.draft.max_new_tokens=1000000000000", "at most 4,294,967,295"),
        ("engine.kv_cache_gib=.inf", "a finite number"),
        ("engine.max_model_len=99999999999999", "at most 4,294,967,295"),
        ("engine={kind: vllm, arguments: {a: .nan}}", "a finite number"),
        ("models.policy={id: m, chat_template_kwargs: {a: {b: [.nan]}}}", "a finite number"),
        ("models.policy={id: m, engine: {kv_cache_gib: .inf}}", "a finite number"),
        ("ppo.steps=9999999999999999999999", "at most 4,294,967,295"),
        ("grpo.kv_cache_gib=.inf", "a finite number"),
        ("optim.batch_size=10000000000", "at most 4,294,967,295"),
        ("eval.sampling.max_new_tokens=10000000000", "at most 4,294,967,295"),
        ("prompts={path: p.csv, columns: {prompts: a}}", "prompt"),
        ("prompts={path: p.csv, duplicates: all}", "exact, normalised, near"),
    ],
)
def test_value_that_would_fail_later_is_refused_with_its_option(tmp_path: Path, override: str, accepted: str):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, override)
    problem = caught.value.problems[0]
    assert (problem.where or "").startswith(f"--set {override.partition('=')[0]}")
    assert accepted in (problem.accepted or "")
    assert len(problem.what) < 300


def test_usual_values_are_accepted(tmp_path: Path):
    config = load(tmp_path, "seed=4294967295", "lora.r=4096", "engine.kv_cache_gib=512")
    assert (config.seed, config.lora.r, config.engine.kv_cache_gib) == (4294967295, 4096, 512)


def test_key_that_the_file_lacks_is_not_blamed_on_an_override(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "prompts.path=p0.jsonl", "seed=1", run="constitution: plain-and-brief\n")
    assert "models" in caught.value.problems[0].what
    assert "--set" not in str(caught.value)
    assert "run.yaml" in (caught.value.problems[0].where or "")


def test_mistake_that_an_override_makes_around_itself_is_its_own(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "split.test=0.5")
    assert caught.value.problems[0].where == "--set split.test=0.5"


@pytest.mark.parametrize(
    ("given", "is_id"),
    [
        ("owner/name", True),
        ("owner/name.jsonl", False),
        ("name", False),
        ("a/b/c", False),
    ],
)
def test_hugging_face_id_of_prompts_stays_as_it_is(tmp_path: Path, given: str, is_id: bool):
    path = load(tmp_path, f"prompts={given}").prompts.path
    assert (str(path) == given) == is_id
    assert path.is_absolute() != is_id


def test_folder_of_the_name_of_an_id_is_the_folder(tmp_path: Path):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert load(tmp_path, "prompts=owner/name").prompts.path == tmp_path / "owner" / "name"
