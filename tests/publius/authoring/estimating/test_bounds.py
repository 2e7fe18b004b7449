"""The bounds of an estimate, for runs whose answers decide what is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine, ramble
from publius.authoring.estimating import estimate as estimating
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.runs.engines import EngineMaker
from publius.stages.base import Stage
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, RUN, write_project

SHORT = "{id: short, text: The reply is short., check: {kind: max_words, value: LIMIT}}"
SAMPLED = RUN.replace("label:", "sample: SAMPLE\ncompare: {from: samples}\nlabel:")
SAID = "Yes it is."
CRITIQUE: tuple[Stage, ...] = ("critique",)


class LargeEngine(ScriptedEngine):
    """A critic that follows instructions, as far as its size tells."""

    @property
    def parameters(self) -> int:
        return 7_000_000_000


def maker(
    answer: Callable[[GenerationRequest], str], engine: type[ScriptedEngine] = ScriptedEngine
) -> EngineMaker:
    def make(model: ModelConfig, settings: EngineConfig) -> ScriptedEngine:
        return engine(answerer=answer, model=model.id, keep_history=False)

    return make


def constitution(*principles: str) -> str:
    return "name: small\nprinciples:\n" + "".join(f"  - {principle}\n" for principle in principles)


def of_seed(request: GenerationRequest) -> str:
    return f"{'word ' * 400} {request.seed}"


def compared(
    run_file: Path, make: EngineMaker, *overrides: str, stages: Sequence[Stage] = ()
) -> dict[tuple[str, str], dict[str, Any]]:
    """Estimate a run, run it, and require all that it asked to be within the bounds; return the rows."""
    found = estimate_run(EstimateRequest(run_file, overrides, stages), make).as_json()
    rows = {(row["stage"], row["purpose"]): row for row in found["requests"]}
    for stage in execute(RunRequest(run_file, overrides, stages), make).stages:
        for purpose in {purpose for at, purpose in rows if at == stage.stage} | stage.counts.asked.keys():
            calls = rows[stage.stage, purpose]["calls"]
            rows[stage.stage, purpose]["actual"] = actual = stage.counts.asked[purpose]
            assert calls["lower"] <= actual <= calls["upper"], (stage.stage, purpose, actual, calls)
        written = found["stages"][stage.stage]["generated_tokens"]
        assert written["lower"] <= stage.counts.completion_tokens <= written["upper"]
    return rows


def test_rounds_that_placeholders_skip_have_bounds_and_prompts(tmp_path: Path):
    run_file = write_project(tmp_path, 2, constitution=constitution(SHORT.replace("LIMIT", "300")))
    rows = compared(run_file, maker(of_seed, LargeEngine), stages=CRITIQUE)
    revision = rows["critique", "revision"]
    assert revision["calls"] == {"lower": 0, "expected": 0, "upper": 4}
    assert revision["actual"] == 4
    assert revision["generated_tokens"]["upper"] == 4 * 768
    assert rows["critique", "critique"]["actual"] == 0  # the checks write the critiques


def test_price_has_the_prompts_of_requests_that_the_dry_run_has_none_of(tmp_path: Path):
    run_file = write_project(tmp_path, 4, constitution=constitution(SHORT.replace("LIMIT", "300")))
    (tmp_path / "prices.yaml").write_text("models: {some-model: {input: 1, output: 0}}\n")
    found = estimate_run(EstimateRequest(run_file), maker(of_seed, LargeEngine)).as_json()
    rows = {row["purpose"]: row for row in found["requests"]}
    # The prompt of a revision repeats an answer and a critique, and there are 8 of each.
    least = 8 * (768 + 256) + rows["draft"]["prompt_tokens"]
    assert found["total"]["usd"]["upper"] * 1e6 > least


@pytest.mark.parametrize("style", [of_seed, lambda request: SAID], ids=["fails", "passes"])
def test_critiques_that_checks_write_are_not_counted_as_certain(
    tmp_path: Path, style: Callable[[GenerationRequest], str]
):
    run_file = write_project(tmp_path, 2, constitution=constitution(SHORT.replace("LIMIT", "20")))
    rows = compared(run_file, maker(style, LargeEngine), "critique.early_stop=off", stages=CRITIQUE)
    assert rows["critique", "critique"]["calls"]["upper"] == 4
    assert rows["critique", "revision"]["calls"] == {"lower": 4, "expected": 4, "upper": 4}


def test_rounds_of_principles_without_checks_are_certain(tmp_path: Path):
    rows = compared(write_project(tmp_path, 6), maker(ramble, LargeEngine), stages=CRITIQUE)
    critique = rows["critique", "critique"]["calls"]
    assert 0 < critique["lower"] < critique["upper"] == 12
    without = constitution("{id: plain, text: The reply is plain.}", "{id: kind, text: The reply is kind.}")
    run_file = write_project(tmp_path / "other", 2, constitution=without)
    rows = compared(run_file, maker(ramble, LargeEngine), stages=CRITIQUE)
    assert rows["critique", "critique"]["calls"] == {"lower": 4, "expected": 4, "upper": 4}


def test_candidates_and_scores_of_a_judged_loop(tmp_path: Path):
    settings = "critique={rounds: 2, candidates: 3, judge: true, principles: worst, early_stop: critique}"
    rows = compared(write_project(tmp_path, 2), maker(ramble), settings, stages=CRITIQUE)
    assert rows["critique", "revision"]["calls"]["upper"] == 2 * 2 * 3
    assert rows["critique", "reward"]["calls"]["upper"] == 2 * 2 * (1 + 2 * 3)


@pytest.mark.parametrize(("limit", "most"), [(250, 1_000), pytest.param(12, 6, marks=pytest.mark.long)])
def test_draws_that_stop_when_enough_are_informative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, most: int
):
    monkeypatch.setattr(estimating, "MOST_PROMPTS", most)
    run = SAMPLED.replace("SAMPLE", "{draws: 2, informative: 3, batch: 2, teach: []}")
    run_file = write_project(tmp_path, 8, run, CONSTITUTION.replace("value: 12", f"value: {limit}"))
    rows = compared(run_file, maker(ramble), stages=["sample"])
    draws = rows["sample", "sample"]["calls"]
    assert draws["upper"] == 8 * 2
    assert draws["lower"] == 4 * 2  # 3 prompts are 2 batches of 2 at least
    assert rows["sample", "sample"]["actual"] == (8 * 2 if limit == 250 else 4 * 2)


def test_every_scored_answer_may_be_in_a_comparison(tmp_path: Path):
    run = SAMPLED.replace("SAMPLE", "{draws: 2, attempts: 2}").replace("samples}", "samples, pairs: all}")
    rows = compared(write_project(tmp_path, 1, run, CONSTITUTION.replace("12", "6")), maker(ramble))
    pairs = (2 + 4 * 2) * (2 + 4 * 2 - 1) // 2
    assert rows["label", "label"]["calls"]["upper"] == pairs * 2 * 2
    assert rows["label", "label"]["actual"] > 2 * 2  # more than the draws alone


@pytest.mark.parametrize(
    ("mode", "most"),
    [
        ("symmetric", {"label": 2}),
        ("pointwise,label.polarity=both", {"label": 4}),
        ("contrastive", {"label": 2}),
        ("reasoned", {"label": 2, "verdict": 2}),
        ("rubric", {"verdict": 2}),
    ],
)
def test_each_mode_of_the_labeler_has_bounds(tmp_path: Path, mode: str, most: dict[str, int]):
    run_file = write_project(tmp_path, 4)
    settings = f"label.mode={mode}".split(",")
    rows = compared(run_file, maker(ramble), *settings, stages=["critique", "compare", "label"])
    found = {purpose: row for (stage, purpose), row in rows.items() if stage == "label"}
    assert {purpose: row["calls"]["upper"] for purpose, row in found.items()} == {
        purpose: 4 * 2 * each for purpose, each in most.items()
    }
    assert all(row["actual"] > 0 for row in found.values())
    if "verdict" in found:
        assert found["verdict"]["generated_tokens"]["upper"] == found["verdict"]["calls"]["upper"] * 256


def test_sample_of_many_prompts_has_the_bounds_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimating, "MOST_PROMPTS", 3)
    run_file = write_project(tmp_path, 0)
    splits = ["train"] * 5 + ["preference"] * 4 + ["test"] * 2
    lines = [json.dumps({"prompt": f"Question {i}?", "split": split}) for i, split in enumerate(splits)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    rows = compared(run_file, maker(ramble))
    assert rows["critique", "draft"]["calls"] == {"lower": 9, "expected": 9, "upper": 9}
    assert rows["critique", "revision"]["calls"]["upper"] == 2 * 9
    rows = compared(run_file, maker(ramble), "compare.from=base", "compare.samples=2", "seed=1")
    assert rows["compare", "sample"]["calls"]["expected"] == 8


def test_what_follows_from_known_answers_is_exact(tmp_path: Path):
    run_file = write_project(tmp_path, 2)
    execute(RunRequest(run_file, stages=["critique", "compare"]), maker(ramble))
    found = estimate_run(EstimateRequest(run_file), maker(ramble)).as_json()
    assert found["stages"]["critique"]["calls"] == {"lower": 0, "expected": 0, "upper": 0}
    assert found["stages"]["label"]["calls"] == {"lower": 8, "expected": 8, "upper": 8}
