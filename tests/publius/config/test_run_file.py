"""Mistakes between two settings of a run file: each is reported at the key that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from publius.config.run_file import load_run_config, load_stages_config


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (("engine: {kind: scripted}", "train: [dpo]"), "5:8", "train lists dpo"),
        (("seed: 1", "compare: {samples: 2, from: sft}"), "5:29", "compare.from is sft"),
        (("train: [dpo]", "dpo: {beta: 0.2, init: sft}"), "5:24", "dpo.init is sft"),
        (("eval: {best_of: 4}", "train: [dpo]"), "4:17", "eval.best_of needs a reward model"),
    ],
)
def test_a_mistake_between_two_keys_is_at_the_key_that_its_message_begins_with(
    tmp_path: Path, lines: tuple[str, str], place: str, what: str
):
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(("constitution: c.yaml", "prompts: p.jsonl", "models: {policy: m}", *lines)))
    with pytest.raises(ConfigError) as raised:
        load_run_config(path)
    assert str(raised.value).startswith(f"{path}:{place}: {what}")


def test_what_trains_nothing_may_have_an_engine_that_cannot_train(tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text("constitution: c.yaml\nprompts: p.jsonl\nmodels: {policy: m}\ntrain: [dpo]\n")
    made_up = ("engine.kind=scripted",)
    assert load_run_config(path, made_up, trains=False).train == ("dpo",)
    assert load_stages_config(path, made_up, ("label",)).train == ()
    assert load_stages_config(path, (), ("label",)).train == ("dpo",)
    for stages in ((), ("dpo",), ("label", "dpo")):
        with pytest.raises(ConfigError, match="train lists dpo, but the scripted engine has no weights"):
            load_stages_config(path, made_up, stages)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run file in the folder `desk`, and files beside that folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    for name in ("house.yaml", "mails.csv", "desk/own.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    path = tmp_path / "desk" / "run.yaml"
    path.write_text("constitution: own.yaml\nprompts: p.jsonl\nmodels: {policy: m}\n", encoding="utf-8")
    return Path("desk/run.yaml")


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("constitution=house.yaml", "constitution=../house.yaml"),
        ("prompts=mails.csv", "prompts=../mails.csv"),
        ("prompts.path=mails.csv", "prompts.path=../mails.csv"),
        ("label.humans=[desk/own.yaml]", "'label.humans=[own.yaml]'"),
    ],
)
def test_a_path_from_the_current_folder_is_answered_with_that_from_the_run_file(
    project: Path, given: str, accepted: str
):
    with pytest.raises(ConfigError) as raised:
        load_run_config(project, [given])
    (problem,) = raised.value.problems
    assert problem.where == f"--set {given}"
    assert "counts from the run file's folder" in problem.what
    assert problem.accepted == accepted
    load_run_config(project, [accepted.strip("'")])


def test_a_preset_an_id_and_a_file_beside_the_run_file_are_no_misplaced_paths(project: Path):
    for name in ("harmless", "own", "own/mails"):
        Path(name).mkdir()
    for given in ("constitution=harmless", "constitution=own.yaml", "prompts=own/mails", "templates=null"):
        load_run_config(project, [given])


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("eval.texts=0", "a whole number of at least 1 or null; to do without: eval.quality: false"),
        (
            "eval.refusal_prompts=0",
            "a whole number of at least 1 or null; to do without: eval.refusals: null",
        ),
        ("choose.prompts=0", "a whole number of at least 1; to do without: choose: null"),
        ("prompts.limit=0", "a whole number of at least 1 or null"),
        ("prompts.limit=-1", "a whole number of at least 1"),
    ],
)
def test_zero_is_answered_with_what_turns_the_setting_off(project: Path, given: str, accepted: str):
    with pytest.raises(ConfigError) as raised:
        load_run_config(project, [given])
    assert raised.value.problems[0].accepted == accepted


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("label.principles=many", "a whole number, or one of: all"),
        ("label.principles=65", "a number of at most 64, or one of: all"),
        ("choose.finished=most", "one of: base, or a number"),
    ],
)
def test_what_is_neither_a_name_nor_a_number_is_answered_with_both(project: Path, given: str, accepted: str):
    with pytest.raises(ConfigError) as raised:
        load_run_config(project, [given])
    (problem,) = raised.value.problems
    assert problem.accepted == accepted
