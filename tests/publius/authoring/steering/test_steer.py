"""From a constitution to an adapter, with a tiny model; and what is refused before anything runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError, RunStateError
from core.records import Prompt
from publius.authoring.steering.steer import SteerOutcome, SteerRequest, steer
from publius.authoring.steering.timing import Speed
from publius.config.run_file import RunConfig, load_run_config
from publius.models.export import export_model
from publius.runs.engines import Engines
from publius.stages.runner import planned_stages
from tests.publius.trainable import SAMPLING, roomy

CHECKED = """\
name: lower
principles:
  - {id: lower, text: The reply has no capitals., check: {kind: not_regex, value: "[A-Z]"}}
"""
SHORT = """\
name: short
principles:
  - {id: short, text: The reply is short., check: {kind: max_characters, value: 8}}
"""
MIXED = CHECKED + "  - The reply is kind.\n"
JUDGED = "name: kind\nprinciples:\n  - The reply is kind.\n"
FAST = Speed(generated_per_s=4000, trained_per_s=9000, answer_tokens=40, prompt_tokens=20, load_s=0.2)


class Stopwatch:
    """Stands in for the measurement, and counts it."""

    def __init__(self, speed: Speed = FAST) -> None:
        self.speed, self.calls = speed, 0

    def __call__(self, config: RunConfig, engines: Engines, prompts: Sequence[Prompt]) -> Speed:
        self.calls += 1
        return self.speed


def write(folder: Path, constitution: str = CHECKED, name: str = "c.yaml") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(constitution)
    return str(folder / name)


def plan(folder: Path, constitution: str = CHECKED, **own: Any) -> SteerOutcome:
    """Only plan: write the run file."""
    request = SteerRequest(write(folder, constitution), write=folder / "plan" / "run.yaml", **own)
    return steer(request, measure=Stopwatch())


def config_of(planned: SteerOutcome) -> RunConfig:
    return load_run_config(planned.run_file)


def test_checks_give_sampling_sft_and_rounds(tmp_path: Path):
    config = config_of(plan(tmp_path))
    assert (config.train, config.sft.source, config.compare.source) == (("sft", "dpo"), "samples", "sft")
    assert (config.dpo.rounds, config.label.principles, config.choose.prompts) == (2, 0, 24)
    assert list(planned_stages(config)) == ["sample", "sft", "compare", "label", "dpo", "choose", "eval"]


def test_a_mixed_constitution_is_trained_by_its_checks(tmp_path: Path):
    config = config_of(plan(tmp_path, MIXED))
    assert config.train == ("sft", "dpo")
    assert config.sample.teach == config_of(plan(tmp_path / "checks")).sample.teach


def test_a_file_that_no_plan_wrote_is_not_replaced(tmp_path: Path):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "run.yaml").write_text("name: mine\n")
    with pytest.raises(RunStateError, match="which no plan wrote"):
        plan(tmp_path)
    assert (tmp_path / "plan" / "run.yaml").read_text() == "name: mine\n"


def test_another_constitution_is_not_planned_over_the_first(tmp_path: Path):
    plan(tmp_path)
    other = SteerRequest(write(tmp_path, JUDGED, "other.yaml"), write=tmp_path / "plan" / "run.yaml")
    with pytest.raises(RunStateError, match="the plan in this folder is for"):
        steer(other, measure=Stopwatch())


def test_a_long_minimum_gets_room_in_every_answer(tmp_path: Path):
    text = SHORT.replace("max_characters, value: 8", "min_words, value: 200")
    config = config_of(plan(tmp_path, text))
    found = [s.sampling.max_new_tokens for s in (config.sample, config.compare, config.eval)]
    assert found == [500, 500, 500]


def test_prompts_that_no_principle_applies_to_are_refused(tmp_path: Path):
    scoped = CHECKED.replace("check:", "applies_to: {tags: [billing]}, check:")
    (tmp_path / "plain.txt").write_text("\n".join(f"What is {n} plus {n}?" for n in range(60)))
    with pytest.raises(DataError, match="no principle applies"):
        plan(tmp_path, scoped, prompts=str(tmp_path / "plain.txt"))


def test_an_edited_text_file_is_another_constitution_of_the_same_project(tmp_path: Path):
    rules = tmp_path / "rules.txt"
    for text in ("Be kind.\n", "Be kind and brief.\n"):
        rules.write_text(text)
        steer(SteerRequest(str(rules), write=tmp_path / "plan" / "run.yaml"), measure=Stopwatch())
    assert "brief" in (tmp_path / "plan" / "constitution.yaml").read_text()


def test_draws_are_as_long_as_the_evaluation_s_where_a_check_wants_length(tmp_path: Path):
    long = SHORT.replace("max_characters", "min_characters")
    tokens = [
        config_of(plan(tmp_path / name, text)).sample.sampling.max_new_tokens
        for name, text in (("short", SHORT), ("long", long))
    ]
    assert tokens == [112, 160]


def test_judged_principles_are_distilled(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config = config_of(plan(tmp_path, JUDGED))
    assert config.train == ("distill",)
    assert list(planned_stages(config)) == ["distill", "choose", "eval"]
    assert "the embedded model hardly follows" in caplog.text


def test_a_named_labeler_adds_pairs_of_the_prompted_model(tmp_path: Path):
    config = config_of(plan(tmp_path, JUDGED, overrides=("models.labeler=strong",)))
    assert config.train == ("dpo", "distill")
    assert (config.compare.source, config.dpo.init, config.models.of("labeler").id) == (
        "prompted",
        "base",
        "strong",
    )
    assert config.label.principles > 0


def test_pairs_of_the_prompted_model_need_no_scores(tmp_path: Path):
    config = config_of(plan(tmp_path, JUDGED, overrides=["models.labeler=Qwen/Qwen3-8B"]))
    assert (config.compare.source, config.compare.pairs) == ("prompted", "disjoint")


def test_the_run_file_is_complete_and_prompts_are_beside_it(tmp_path: Path):
    planned = plan(tmp_path, minutes=20, seed=3, overrides=("dpo.beta=0.3", "lora.r=8"))
    config = config_of(planned)
    assert (config.seed, config.dpo.beta, config.lora.r, config.time.minutes) == (3, 0.3, 8, 20)
    assert 0 < config.time.reserve < 20
    assert config.prompts.path == (tmp_path / "plan" / "prompts.jsonl").resolve()
    assert config.constitution == str((tmp_path / "c.yaml").resolve())
    text = planned.run_file.read_text().replace("recipe: compliance\n", "")
    (tmp_path / "plan" / "without.yaml").write_text(text)
    without = load_run_config(tmp_path / "plan" / "without.yaml")
    assert without == config.model_copy(update={"recipe": None})
    rows = [json.loads(line) for line in (tmp_path / "plan" / "prompts.jsonl").read_text().splitlines()]
    assert [sum(row["split"] == split for row in rows) for split in ("train", "test")] == [96, 48]


def test_the_same_command_keeps_the_plan_and_measures_once(tmp_path: Path):
    watch, source = Stopwatch(), write(tmp_path)
    request = SteerRequest(source, write=tmp_path / "plan" / "run.yaml", minutes=15)
    steer(request, measure=watch)
    before = (tmp_path / "plan" / "run.yaml").read_bytes()
    watch.speed = Speed(10, 10, 40, 20, 9)
    steer(SteerRequest(source, write=tmp_path / "plan" / "run.yaml"), measure=watch)  # as it was planned
    write(tmp_path, CHECKED.replace("no capitals", "no big letters"))  # an edit of the same kind
    steer(request, measure=watch)
    assert (tmp_path / "plan" / "run.yaml").read_bytes() == before
    (tmp_path / "plan" / "run.yaml").unlink()
    steer(request, measure=watch)  # planned again, by the speed that is known
    assert (tmp_path / "plan" / "run.yaml").read_bytes() == before
    assert watch.calls == 1


def test_an_edit_of_another_kind_is_planned_again(tmp_path: Path):
    plan(tmp_path, JUDGED)
    assert config_of(plan(tmp_path, CHECKED)).train == ("sft", "dpo")


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"minutes": 30.0}, "--minutes 15"),
        ({"seed": 1}, "--seed 0"),
        ({"model": "other"}, "--model smollm2"),
        ({"overrides": ("dpo.beta=1",)}, "--set (not given)"),
    ],
)
def test_other_options_are_refused_with_those_of_the_plan(tmp_path: Path, own: dict[str, Any], named: str):
    plan(tmp_path)
    with pytest.raises(RunStateError) as caught:
        plan(tmp_path, **own)
    (problem,) = caught.value.problems
    assert named in problem.what
    assert (problem.run or "").startswith("rm ")


def test_prompts_that_changed_are_refused(tmp_path: Path):
    rows = [
        {"prompt": f"What is {n} and {n + 1}?", "split": "test" if n % 4 == 0 else "train"} for n in range(48)
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan(tmp_path, prompts=str(path))
    plan(tmp_path, prompts=str(path))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    with pytest.raises(RunStateError, match="has changed since the plan"):
        plan(tmp_path, prompts=str(path))


@pytest.mark.parametrize("model", ["scripted", "http://localhost:8000/v1", "https://a.b/v1"])
def test_a_model_without_weights_is_refused_before_anything_is_written(tmp_path: Path, model: str):
    with pytest.raises(ConfigError, match=r"--model: .* no weights to train"):
        plan(tmp_path, model=model)
    assert not (tmp_path / "plan").exists()


def test_an_engine_or_adapter_that_cannot_train_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no weights to train"):
        plan(tmp_path, overrides=("engine.kind=scripted",))
    with pytest.raises(ConfigError, match="already has an adapter"):
        plan(tmp_path, overrides=("models.policy.adapter=a",))


def test_too_little_time_and_too_few_prompts_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"--minutes: 0\.2 minutes are too few: the least takes"):
        plan(tmp_path, minutes=0.2)
    (tmp_path / "p.txt").write_text("What is rain?\nWhat is snow?\n")
    with pytest.raises(DataError, match="too few prompts"):
        plan(tmp_path, prompts=str(tmp_path / "p.txt"))


def tiny_request(folder: Path, model: Path, source: str, **own: Any) -> SteerRequest:
    rows = [{"prompt": f"Question number {n}?", "split": "test" if n < 8 else "train"} for n in range(32)]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    quick = (
        f"sample={{draws: 2, teach: [repaired], sampling: {SAMPLING}}}",
        f"compare.sampling={SAMPLING}",
        "eval.sampling={max_new_tokens: 12}",
        "engine={device: cpu, max_batch: 16}",
        "lora={r: 4, alpha: 8}",
        "sft={epochs: 8, learning_rate: 2.0e-2}",
        "dpo={rounds: 1, learning_rate: 1.0e-3}",
        "choose.neutral_loss=null",
        "choose.sameness=null",
        "choose.finished=null",
    )
    return SteerRequest(
        source, str(model), 15, str(folder / "p.jsonl"), folder / "steered", overrides=quick, **own
    )


@pytest.mark.slow
def test_a_tiny_model_is_steered_and_an_edit_reuses_its_draws(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("peft")
    model, source = roomy(tiny_folder, tmp_path / "model"), write(tmp_path, SHORT)
    caplog.set_level(logging.INFO, "publius")
    first = steer(tiny_request(tmp_path, model, source), measure=Stopwatch())
    assert first.outcome is not None
    assert first.adapter is not None
    found = first.as_json()
    names = {metric["name"] for metric in found["outcome"]["evaluation"]["metrics"]}
    assert {"base.compliance", "prompted.compliance", "steered.compliance.delta"} <= names
    assert Path(found["report"]).is_file()
    assert first.minutes < 15
    export_model(first.outcome.folder, "steered", tmp_path / "merged")
    assert (tmp_path / "merged" / "config.json").is_file()

    again = steer(tiny_request(tmp_path, model, source), measure=Stopwatch())
    assert again.outcome is not None
    assert again.outcome.folder == first.outcome.folder
    assert sum(sum(stage.counts.asked.values()) for stage in again.outcome.stages) == 0

    write(tmp_path, SHORT.replace("8", "7"))
    edited = steer(tiny_request(tmp_path, model, source), measure=Stopwatch())
    assert edited.outcome is not None
    assert edited.outcome.folder != first.outcome.folder
    draws = next(stage for stage in edited.outcome.stages if stage.stage == "sample")
    assert (sum(draws.counts.asked.values()), sum(draws.counts.reused.values()) > 0) == (0, True)
