"""What an estimate says before a run, against what the run then does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, RunStateError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.authoring.estimating import estimate as estimating
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.authoring.preview import PreviewRequest, preview_run
from publius.runs.manifest import read_manifest
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from publius.views.costs.estimate import shown_usd
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION, RUN, Recorder, write_project

SAMPLED = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
sample: {draws: 2, attempts: 1}
compare: {from: samples}
"""


def estimated(run_file: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    return estimate_run(EstimateRequest(run_file, overrides, **options), Recorder()).as_json()


def run(run_file: Path, *overrides: str) -> RunOutcome:
    return execute(RunRequest(run_file, overrides), Recorder())


def rows(found: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["stage"], row["role"], row["purpose"]): row for row in found["requests"]}


def with_other_prompts(run_file: Path, word: str) -> Path:
    """Replace every prompt of a project by one of the same length that was not answered yet."""
    path = run_file.parent / "prompts.jsonl"
    path.write_text(path.read_text().replace("Question", word))
    return run_file


def require_within(outcome: RunOutcome, share: float) -> None:
    """Require the actual requests and tokens of a run to be what its estimate allows."""
    found = outcome.as_json()["estimated"]
    for row in found:
        assert row["calls"]["lower"] <= row["asked"] <= row["calls"]["upper"], row
        written = row["generated_tokens"]
        assert written["lower"] <= row["written"] <= written["upper"], row
    read, expected = (sum(row[name] for row in found) for name in ("read", "prompt_tokens"))
    assert read > 0
    assert abs(expected - read) <= share * read


def test_prompts_of_drafts_are_exact_and_those_that_repeat_answers_are_near(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=30)
    run(run_file)  # measures the lengths of answers
    found = estimated(with_other_prompts(run_file, "Exercise"))
    outcome = run(run_file)
    require_within(outcome, 0.1)
    asked = {result.stage: result.counts for result in outcome.stages}
    by_purpose = rows(found)
    assert by_purpose["critique", "policy", "draft"]["calls"]["expected"] == asked["critique"].asked["draft"]
    # The drafts' own prompts: eight words and a number twice.
    assert by_purpose["critique", "policy", "draft"]["prompt_tokens"] == 30 * len(
        ["Exercise", "number", "1:", "what", "is", "1", "times", "1?"]
    )
    critiques = by_purpose["critique", "critic", "critique"]["calls"]
    assert critiques["lower"] <= asked["critique"].asked["critique"] <= critiques["upper"] == 60
    labels = by_purpose["label", "labeler", "label"]["calls"]
    assert 0 < asked["label"].asked["label"] <= labels["upper"] == 120
    assert all(length["measured_answers"] >= 30 for length in found["lengths"])


def test_nothing_is_asked_and_no_run_folder_or_cache_is_made(tmp_path: Path):
    run_file = write_project(tmp_path)
    recorder = Recorder()
    found = estimate_run(EstimateRequest(run_file), recorder).as_json()
    assert found["total"]["calls"]["expected"] > 0
    assert recorder.requests == []
    assert {path.name for path in tmp_path.iterdir()} == {
        ".publius",
        "constitution.yaml",
        "prompts.jsonl",
        "run.yaml",
    }
    assert [path.name for path in (tmp_path / ".publius").iterdir()] == ["estimates"]


def test_what_the_cache_holds_is_reused_and_costs_nothing(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=5)
    first = estimated(run_file)
    counts = run(run_file, "critique.rounds=1").stages[0].counts
    again = estimated(run_file)  # with two rounds: drafts and first rounds are in the cache
    assert rows(again)["critique", "policy", "draft"]["reused"] == 5
    assert rows(again)["critique", "critic", "critique"]["reused"] == counts.asked["critique"]
    assert rows(again)["critique", "critic", "revision"]["reused"] == counts.asked["revision"]
    assert again["total"]["prompt_tokens"] < first["total"]["prompt_tokens"]
    run(run_file)
    done = estimated(run_file)
    assert done["total"]["calls"] == {"lower": 0, "expected": 0, "upper": 0}
    assert done["total"]["prompt_tokens"] == 0


def test_finished_records_cost_nothing_even_if_the_cache_is_gone(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=5)
    run(run_file)
    (tmp_path / ".publius" / "cache.sqlite").unlink()
    assert estimated(run_file)["total"]["calls"]["upper"] == 0


def test_estimate_of_one_stage_builds_on_what_the_run_has_done(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=5)
    execute(RunRequest(run_file, stages=["critique", "compare"]), Recorder())
    found = estimated(run_file, stages=["label"])
    assert list(found["stages"]) == ["label"]
    assert found["total"]["calls"]["expected"] == 20
    with pytest.raises(RunStateError, match="the stage compare has not run yet"):
        estimated(run_file, "seed=1", stages=["label"])


@pytest.mark.parametrize(
    ("teach", "limit"),
    [
        ("[begun, repaired, prompted, wide]", 6),
        pytest.param("[begun, repaired, prompted, wide]", 200, marks=pytest.mark.long),
        pytest.param("[prompted, wide, repaired]", 6, marks=pytest.mark.long),
        pytest.param("[prompted, wide, repaired]", 30, marks=pytest.mark.long),
        pytest.param("[]", 200, marks=pytest.mark.long),
    ],
)
def test_ladder_of_samples_stays_within_its_bounds(tmp_path: Path, teach: str, limit: int):
    constitution = CONSTITUTION.replace("value: 12", f"value: {limit}")
    run_file = write_project(tmp_path, 6, SAMPLED, constitution)
    override = f"sample.teach={teach}"
    found = estimated(run_file, override)
    draws = rows(found)["sample", "policy", "sample"]
    assert draws["calls"] == {"lower": 12, "expected": 12, "upper": 12}
    for row in run(run_file, override).as_json()["estimated"]:
        assert row["calls"]["lower"] <= row["asked"] <= row["calls"]["upper"], row
        assert row["generated_tokens"]["lower"] <= row["written"] <= row["generated_tokens"]["upper"]


@pytest.mark.parametrize("source", ["base", "prompted"])
def test_sampled_comparisons_and_their_labels_are_counted(tmp_path: Path, source: str):
    run_file = write_project(tmp_path, 3)
    overrides = [f"compare.from={source}", "compare.samples=4", "compare.pairs=all"]
    found = estimated(run_file, *overrides)
    outcome = run(run_file, *overrides)
    (compare, label) = (row for row in outcome.as_json()["estimated"] if row["stage"] != "critique")
    assert compare["asked"] == found["stages"]["compare"]["calls"]["expected"] == 12
    assert label["asked"] <= found["stages"]["label"]["calls"]["upper"]


def test_actual_figures_stand_beside_the_estimate_and_only_those_since_it_was_made(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=6)
    execute(RunRequest(run_file, stages=["critique"]), Recorder())
    estimated(run_file)
    outcome = run(run_file)
    beside = {row["stage"]: row for row in outcome.as_json()["estimated"]}
    assert beside["critique"]["asked"] == 0
    assert beside["label"]["asked"] == 24
    assert read_manifest(outcome.folder)["estimate"]["total"]["calls"]["expected"] >= 20


def test_run_without_an_estimate_or_with_a_damaged_one_says_nothing_of_it(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=2)
    found = estimated(run_file)
    path = tmp_path / ".publius" / "estimates" / f"{found['plan'][:8]}.json"
    path.write_text(path.read_text()[:-40])
    assert "estimated" not in run(run_file).as_json()
    path.unlink()
    assert "estimated" not in run(run_file).as_json()


def test_many_prompts_are_estimated_from_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_file = write_project(tmp_path, prompts=40)
    whole = estimated(run_file)
    monkeypatch.setattr(estimating, "MOST_PROMPTS", 20)
    sampled = estimated(run_file)
    assert (whole["sampled_prompts"], sampled["sampled_prompts"]) == (None, 20)
    assert sampled["total"]["calls"]["upper"] == pytest.approx(whole["total"]["calls"]["upper"], rel=0.01)
    assert sampled["total"]["prompt_tokens"] == pytest.approx(whole["total"]["prompt_tokens"], rel=0.05)


class Served:
    """An engine without a tokenizer, as that of a server."""

    def __init__(self, model: str) -> None:
        self._engine = ScriptedEngine(model=model)
        self.model = self.identity = model
        self.is_base = False

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        return self._engine.key(request)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        return self._engine.require_choices(prefill, choices)

    async def generate(self, request: GenerationRequest) -> Generation:
        return await self._engine.generate(request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        return await self._engine.choose(request)

    def close(self) -> None:
        pass


def test_tokens_without_a_tokenizer_are_counted_by_characters_and_that_is_said(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)

    def make(model: ModelConfig, engine: EngineConfig) -> Served:
        return Served(model.id)

    found = estimate_run(EstimateRequest(run_file), make).as_json()
    draft = rows(found)["critique", "policy", "draft"]
    assert draft["counted_by"] == "characters"
    assert draft["prompt_tokens"] == 4 * (round(len("Question number 1: what is 1 times 1?") / 4) + 8)


def test_prices_of_each_model_and_of_the_machine(tmp_path: Path):
    run_file = write_project(
        tmp_path, prompts=4, run=RUN.replace("}\nengine", ", labeler: {id: big}}\nengine")
    )
    (tmp_path / "prices.yaml").write_text("models: {big: {input: 1000}}\nhour: 36\n")
    found = estimated(run_file, rate=10.0)
    label = rows(found)["label", "labeler", "label"]
    hours = found["total"]["seconds"] / 3600
    expected = label["prompt_tokens"] / 1000 + 36 * hours
    assert found["total"]["usd"]["expected"] == pytest.approx(expected, rel=1e-3)
    assert found["total"]["usd"]["lower"] == pytest.approx(36 * hours, rel=1e-3)
    assert found["prices"]["usd_per_million_tokens"] == {"labeler": {"input": 1000.0, "output": 0.0}}


def test_mistake_in_the_table_of_prices_has_its_place(tmp_path: Path):
    run_file = write_project(tmp_path)
    (tmp_path / "prices.yaml").write_text("models:\n  big: {input: cheap}\n")
    with pytest.raises(ConfigError, match=r"prices\.yaml:2:16: "):
        estimated(run_file)


def test_time_is_that_of_the_rate_or_of_earlier_runs(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)
    assert estimated(run_file)["total"]["seconds"] is None
    found = estimated(run_file, rate=100.0)
    total = found["total"]
    expected = total["generated_tokens"]["expected"] / 100 + total["prompt_tokens"] / 450
    assert total["seconds"] == pytest.approx(expected, rel=0.01)
    outcome = run(run_file)
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    for stage, tokens, seconds in (("critique", 2_000, 40.0), ("label", 0, 10.0)):
        entry = manifest["stages"][stage]
        entry["requests"] |= {"completion_tokens": tokens, "prompt_tokens": 3_000, "asked": 50}
        entry["seconds"] = seconds
    (outcome.folder / "manifest.json").write_text(json.dumps(manifest))
    speed = estimated(with_other_prompts(run_file, "Exercise"))["speed"]
    # 300 tokens/s are read while labelling, so 3,000 tokens of prompts took 10 of the 40 seconds.
    assert (speed["read_per_s"], speed["generated_per_s"]) == (300.0, pytest.approx(2_000 / 30, abs=0.1))
    assert speed["source"] == "measured in 1 earlier run of the project"


def test_reading_is_assumed_where_no_label_stage_has_ended(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)
    outcome = run(run_file)
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    requests = {"completion_tokens": 200, "prompt_tokens": 3_600, "asked": 50}
    manifest["stages"] = {"critique": {"requests": requests, "seconds": 20.0}}
    (outcome.folder / "manifest.json").write_text(json.dumps(manifest))
    speed = estimated(with_other_prompts(run_file, "Exercise"))["speed"]
    assert (speed["generated_per_s"], speed["read_per_s"]) == (50.0, 225.0)
    assert 200 / speed["generated_per_s"] + 3_600 / speed["read_per_s"] == pytest.approx(20.0)
    assert speed["source"].endswith(
        "; reading prompts assumed 4.5 times as fast; measured once a label stage has ended"
    )


def test_a_preview_and_the_answers_of_an_evaluation_measure_a_speed(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)
    preview_run(PreviewRequest(run_file, 1), Recorder())
    (file,) = (tmp_path / ".publius" / "speeds").iterdir()
    recorded = json.loads(file.read_text())
    assert recorded["stages"]["critique"]["requests"]["completion_tokens"] > 0
    assert estimated(run_file)["speed"] is None  # of less than two seconds
    recorded["stages"]["critique"] |= {"seconds": 20.0}
    recorded["stages"]["critique"]["requests"] |= {"completion_tokens": 200, "prompt_tokens": 0}
    file.write_text(json.dumps(recorded))
    speed = estimated(run_file)["speed"]
    assert (speed["generated_per_s"], speed["source"].partition(",")[0]) == (
        10.0,
        "measured in 1 preview of the project",
    )
    preview_run(PreviewRequest(run_file, 1), Recorder())  # all answers are in the cache
    assert json.loads(file.read_text()) == recorded
    assert estimated(run_file, "models.policy=other")["speed"] is None

    folder = run(run_file, "train=[]", "split={train: 0, preference: 0, test: 1}", "eval.prompts=2").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stages"]["eval"] = {
        "requests": {"asked": 4, "completion_tokens": 900, "prompt_tokens": 0},
        "seconds": 100.0,
        "answering": {
            "requests": {"asked": 4, "completion_tokens": 300, "prompt_tokens": 0},
            "seconds": 10.0,
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    speed = estimated(run_file)["speed"]
    assert (speed["generated_per_s"], speed["source"].partition(";")[0]) == (
        30.0,
        "measured in 1 earlier run of the project",
    )


def test_without_a_speed_it_says_what_measures_one(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=2)
    said = " ".join(here("run", run_file, "--estimate").stdout.split())
    assert "publius run RUN.yaml --preview 4 does, or give --rate TOKENS_PER_S" in said


@pytest.mark.parametrize("rate", ["0", "-3", "nan", "inf"])
def test_rate_that_is_no_number_above_zero_is_refused(tmp_path: Path, rate: str):
    with pytest.raises(ConfigError, match="--rate: found"):
        estimated(write_project(tmp_path), rate=float(rate))


def test_estimate_of_one_stage_leaves_what_is_remembered_of_the_others(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=3)
    whole = estimated(run_file)
    estimated(run_file, stages=["critique"])
    beside = {row["stage"]: row for row in run(run_file).as_json()["estimated"]}
    assert set(beside) == set(whole["stages"]) == {"critique", "compare", "label"}
    assert beside["label"]["calls"] == whole["stages"]["label"]["calls"]


def test_command_prints_a_table_or_json(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=3)
    done = here("run", run_file, "--estimate", "--rate", "50")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.split()[:4] == ["critique", "policy", "draft", "3"] for line in lines)
    assert any(line.startswith("time: about ") for line in lines)
    found = json.loads(here("run", run_file, "--estimate", "--json").stdout)
    assert found["prompts"] == {"train": 3}
    refused = here("run", run_file, "--rate", "50")
    assert (refused.returncode, "require --estimate" in refused.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()
    assert "Estimated and actual" in here("run", run_file).stdout


def test_more_rows_scale_what_a_run_asks(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=20)
    own, scaled = estimated(run_file), estimated(run_file, rows=2_000)
    assert scaled["rows"] == {"rows": 2_000, "in_file": 20, "imported": 20, "skipped": 0, "used": 20}
    assert scaled["prompts"] == {split: 100 * count for split, count in own["prompts"].items()}
    for key, row in rows(own).items():
        if key[0] in ("critique", "label"):
            expected = 100 * row["calls"]["expected"]
            assert abs(rows(scaled)[key]["calls"]["expected"] - expected) <= 100
            assert rows(scaled)[key]["calls"]["upper"] >= rows(scaled)[key]["calls"]["expected"]
    run(run_file)
    again = estimated(run_file, rows=2_000)
    assert again["total"]["reused"] == 0
    assert again["total"]["calls"]["expected"] == scaled["total"]["calls"]["expected"]


def test_skipped_rows_are_scaled_and_an_estimate_for_more_is_not_kept(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=9)
    path = run_file.parent / "prompts.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    told = here("run", run_file, "--estimate-for", "1000")
    assert "rows: 1,000 of a file, like the 10 of this one; about 100 would be skipped" in told.stdout
    assert "of 10 rows, 9 (90%) are prompts of a run" in " ".join(told.stdout.split())
    assert estimated(run_file, rows=1_000)["rows"]["skipped"] == 100
    assert not (run_file.parent / ".publius" / "estimates").exists()


def test_fewer_rows_and_a_limit_are_refused(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=9)
    with pytest.raises(ConfigError, match="the file has 9 rows"):
        estimated(run_file, rows=5)
    with pytest.raises(ConfigError, match=r"prompts\.limit"):
        estimated(run_file, "prompts.limit=4", rows=50)


def test_a_sample_of_a_long_file_stands_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_file = write_project(tmp_path, prompts=40)
    whole = estimated(run_file)
    monkeypatch.setattr(estimating, "MOST_ROWS", 10)
    found = estimated(run_file)
    assert found["rows"] == {"rows": 40, "in_file": 40, "imported": 10, "skipped": 0, "used": 10}
    assert sum(found["prompts"].values()) == sum(whole["prompts"].values()) == 40
    assert found["plan"] == whole["plan"]


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [(0, "0.00"), (12.345, "12.35"), (0.01, "0.01"), (0.00424, "0.0042"), (3e-6, "0.0000030")],
)
def test_prices_below_a_cent_have_two_digits(dollars: float, shown: str):
    assert shown_usd(dollars) == shown
