"""The sample stage: draws, scores, what is tried where no draw passes, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from core.errors import ConfigError, FailedRequestError, RequestError
from core.records import Comparison, Generation, ScoredAnswer
from critique.config import SampleConfig
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.runs.dataset import export_run
from publius.runs.reader import RunReader
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from publius.stages.sample import Yield
from tests.publius.invoking import here
from tests.publius.projects import record_lines, write_project

SHORT = """\
name: short
principles:
  - {id: short, text: The reply has at most six words., check: {kind: max_words, value: 6}}
"""
JUDGED = """\
name: judged
principles:
  - {id: kind, text: The reply is kind.}
"""
OPENS = """\
name: opens
principles:
  - {id: opens, text: The reply begins with In short., check: {kind: starts_with, value: [In short]}}
"""
RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
sample: {draws: 2, attempts: 1}
compare: {from: samples}
label: {principles: 0}
"""
LONG = "Six words are in this sentence. It goes on."


class Writer(ScriptedEngine):
    """Writes long answers, and what the class names for other purposes than plain draws."""

    texts: Mapping[str, str] = MappingProxyType({})

    async def generate(self, request: GenerationRequest) -> Generation:
        text = self.texts.get(request.purpose, LONG + f" Number {request.seed % 97}.")
        found = await super().generate(request)
        return found.model_copy(update={"text": text})


class Writers:
    """Makes writers of one kind, and keeps them."""

    def __init__(self, kind: type[ScriptedEngine] = Writer, **texts: str) -> None:
        self.kind, self.texts, self.made = kind, texts, list[ScriptedEngine]()

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        made = self.kind(model=model.id)
        made.texts = self.texts  # type: ignore[attr-defined]
        self.made.append(made)
        return made

    def asked(self, purpose: str) -> list[GenerationRequest | ChoiceRequest]:
        return [r for engine in self.made for r in engine.history if r.purpose == purpose]


def sampled(
    folder: Path,
    make: Writers,
    *overrides: str,
    prompts: int = 3,
    constitution: str = SHORT,
    stages: tuple[Any, ...] = ("sample",),
) -> RunOutcome:
    run_file = folder / "run.yaml"
    if not run_file.exists():
        write_project(folder, prompts, RUN, constitution)
    return execute(RunRequest(run_file, overrides, stages), make)


def answers(outcome: RunOutcome) -> list[ScoredAnswer]:
    with RunReader(outcome.folder) as run:
        return list(run.samples.sorted())


def origins(outcome: RunOutcome) -> dict[str, int]:
    counts: dict[str, int] = {}
    for answer in answers(outcome):
        counts[answer.origin] = counts.get(answer.origin, 0) + 1
    return counts


def samples_of(outcome: RunOutcome) -> dict[str, Any]:
    return outcome.as_json()["samples"]


def test_a_prompt_whose_draw_passes_is_not_taught(tmp_path: Path):
    make = Writers(sample="A short one.")
    outcome = sampled(tmp_path, make)
    assert origins(outcome) == {"draw:0": 3, "draw:1": 3}
    assert {purpose.purpose for purpose in make.made[0].history} == {"sample"}
    assert outcome.stages[0].excluded == {"every answer passes": 3}
    assert "stricter check" in (outcome.stages[0].advice or "")


def test_the_first_way_that_passes_is_the_last_one_tried(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make)
    assert origins(outcome) == {"draw:0": 3, "draw:1": 3, "prompted:0": 3, "wide:0": 3}
    assert samples_of(outcome)["by_origin"] == {"wide": 3}


def test_the_order_of_the_ways_is_the_users(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, "sample.teach=[wide, prompted]")
    assert not make.asked("prompted")
    assert origins(outcome) == {"draw:0": 3, "draw:1": 3, "wide:0": 3}


def test_repairs_come_from_the_draws_and_cost_nothing(tmp_path: Path):
    make = Writers()
    outcome = sampled(tmp_path, make, "sample.teach=[repaired]", prompts=2)
    repaired = [answer for answer in answers(outcome) if answer.way == "repaired"]
    assert len(repaired) == 2
    assert all(answer.passed and answer.answer.completion_tokens == 0 for answer in repaired)
    assert {request.purpose for request in make.made[0].history} == {"sample"}
    assert samples_of(outcome)["line"] == "2 of 2 prompts have answers that differ; 2 repaired"


def test_no_way_is_tried_without_teach(tmp_path: Path):
    make = Writers(sample="This very same answer has too many words.")
    outcome = sampled(tmp_path, make, "sample.teach=[]")
    assert origins(outcome) == {"draw:0": 3, "draw:1": 3}
    assert outcome.stages[0].excluded == {"no answer passes, and all have the same score": 3}
    assert "add prompted, begun, wide, repaired to sample.teach" in (outcome.stages[0].advice or "")


def test_begun_answers_are_scored_with_their_beginning(tmp_path: Path):
    outcome = sampled(tmp_path, Writers(begun="it is."), "sample.teach=[begun]", constitution=OPENS)
    begun = [answer for answer in answers(outcome) if answer.way == "begun"]
    assert [(answer.answer.text, answer.passed) for answer in begun] == [("In short it is.", True)] * 3


def test_sampling_stops_when_enough_prompts_are_informative(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, "sample.informative=3", "sample.batch=2", prompts=7)
    assert samples_of(outcome)["prompts"] == 4
    assert outcome.stages[0].excluded == {"not asked, since sample.informative was reached": 3}
    assert len(make.asked("sample")) == 8


def test_finished_stage_asks_nothing_again_and_writes_nothing_twice(tmp_path: Path):
    first = sampled(tmp_path, Writers(wide="A short one."))
    before = record_lines(first.folder)
    again = Writers(wide="Another short one.")
    second = sampled(tmp_path, again)
    assert not any(engine.history for engine in again.made)
    assert record_lines(second.folder) == before
    assert samples_of(second) == samples_of(first)


def test_an_edit_of_the_constitution_reuses_the_draws(tmp_path: Path):
    sampled(tmp_path, Writers(), "sample.teach=[]")
    (tmp_path / "constitution.yaml").write_text(SHORT.replace("value: 6", "value: 7"))
    again = Writers()
    outcome = sampled(tmp_path, again, "sample.teach=[]")
    assert not any(engine.history for engine in again.made)
    assert outcome.stages[0].counts.reused == {"sample": 6}


class LostAfterAWhile(Writer):
    """Fails on every request after the fifth one, as a process that is killed."""

    async def generate(self, request: GenerationRequest) -> Generation:
        if len(self.history) >= 5:
            raise KeyboardInterrupt
        return await super().generate(request)


def test_an_interrupted_stage_resumes_to_the_same_records(tmp_path: Path):
    texts = {"wide": "A short one."}
    whole = sampled(tmp_path / "whole", Writers(**texts))
    with pytest.raises(KeyboardInterrupt):
        sampled(tmp_path / "cut", Writers(LostAfterAWhile, **texts))
    resumed = sampled(tmp_path / "cut", Writers(**texts))
    lines = [sorted(record_lines(outcome.folder)["samples.jsonl"]) for outcome in (whole, resumed)]
    assert lines[0] == lines[1]


class TooLongWithTheConstitution(Writer):
    async def generate(self, request: GenerationRequest) -> Generation:
        if request.turns[0].role == "system":
            raise RequestError("the conversation is too long")
        return await super().generate(request)


def test_a_way_that_cannot_be_used_leaves_the_draws_and_the_other_ways(tmp_path: Path):
    outcome = sampled(tmp_path, Writers(TooLongWithTheConstitution, wide="A short one."))
    assert origins(outcome) == {"draw:0": 3, "draw:1": 3, "wide:0": 3}
    assert outcome.stages[0].excluded == {"the conversation is too long": 3}


class BreaksOnce(Writer):
    async def generate(self, request: GenerationRequest) -> Generation:
        if request.purpose == "wide" and "number 1:" in request.turns[-1].text:
            raise FailedRequestError("out of memory")
        return await super().generate(request)


def test_a_prompt_on_which_the_engine_failed_is_taken_up_by_the_next_start(tmp_path: Path):
    texts = {"wide": "A short one."}
    first = sampled(tmp_path, Writers(BreaksOnce, **texts))
    assert len({answer.prompt.id for answer in answers(first)}) == 2
    assert first.stages[0].excluded == {"out of memory": 1}
    second = sampled(tmp_path, Writers(**texts))
    assert origins(second) == {"draw:0": 3, "draw:1": 3, "prompted:0": 3, "wide:0": 3}
    assert second.stages[0].excluded == {}


def test_a_prompt_that_no_check_is_about_is_counted(tmp_path: Path):
    scoped = SHORT.replace("check:", 'applies_to: {pattern: "number 0"}, check:')
    outcome = sampled(tmp_path, Writers(wide="A short one."), constitution=scoped)
    assert len({answer.prompt.id for answer in answers(outcome)}) == 1
    assert outcome.stages[0].excluded == {"no principle that gives a score applies to the prompt": 2}


def test_judged_principles_count_if_the_labeler_is_asked(tmp_path: Path):
    make = Writers()
    settings = ("sample.judge=true", "label.principles=1", "sample.teach=[]")
    outcome = sampled(tmp_path, make, *settings, constitution=JUDGED)
    found = answers(outcome)
    assert all(set(answer.by_principle) == {"kind"} for answer in found)
    assert all(answer.passed == (answer.by_principle["kind"] >= 0.5) for answer in found)
    assert len({answer.score for answer in found}) > 1


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        ((), "sample"),
        (("sample.judge=true",), "sample"),  # label.principles is 0
        (("compare.from=base", "compare.pairs=best_worst"), "compare.pairs=best_worst"),
    ],
)
def test_nothing_that_gives_a_score_is_one_line(tmp_path: Path, overrides: tuple[str, ...], where: str):
    stages = ("sample",) if where == "sample" else ("compare",)
    with pytest.raises(ConfigError, match=f"^{where}: no answer can be scored") as caught:
        sampled(tmp_path, Writers(), *overrides, constitution=JUDGED, stages=stages)
    assert "sample.judge=true with label.principles above 0" in str(caught.value)


def comparisons(outcome: RunOutcome) -> list[Comparison]:
    with RunReader(outcome.folder) as run:
        return list(run.comparisons.sorted())


def test_comparisons_of_samples_are_of_the_best_against_the_worst(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, stages=("sample", "compare", "label"))
    found = comparisons(outcome)
    assert len(found) == 3
    assert {frozenset((c.origin_a.partition(":")[0], c.origin_b.partition(":")[0])) for c in found} == {
        frozenset(("draw", "wide"))
    }
    with RunReader(outcome.folder) as run:
        preferences = list(run.preferences)
    assert {preference.origin_chosen for preference in preferences} == {"wide:0"}
    assert {preference.weight for preference in preferences} == {1.0}


def test_spread_weighs_a_pair_by_the_difference_of_its_scores(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, "compare.weight=spread", stages=("sample", "compare", "label"))
    with RunReader(outcome.folder) as run:
        scores = {answer.answer.text: answer.score for answer in run.samples}
        for preference in run.preferences:
            chosen, rejected = (m[0].content for m in (preference.chosen, preference.rejected))
            assert preference.weight == scores[chosen] - scores[rejected] > 0


def test_near_duplicates_that_a_check_tells_apart_are_labelled(tmp_path: Path):
    """A repair may change a single word."""
    opening = "In short it has quite a lot of words that do not matter here at all."
    make = Writers(sample=opening.removeprefix("In short "), begun=opening.removeprefix("In short "))
    outcome = sampled(
        tmp_path, make, "label.near_duplicate=0.5", constitution=OPENS, stages=("sample", "compare", "label")
    )
    assert outcome.stages[2].records == 3


def test_pairs_of_samples_can_be_all(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, "compare.pairs=all", prompts=1, stages=("sample", "compare"))
    assert len(comparisons(outcome)) == 6  # two draws, one prompted, one wide


def test_prompted_answers_meet_plain_ones(tmp_path: Path):
    make = Writers(prompted="A short one.")
    outcome = sampled(tmp_path, make, "compare={from: prompted, samples: 4}", stages=("compare",))
    found = comparisons(outcome)
    assert {frozenset((c.origin_a, c.origin_b)) for c in found} == {
        frozenset(("prompted:0", "sample:0")),
        frozenset(("prompted:1", "sample:1")),
    }
    prompted = make.asked("prompted")
    assert len(prompted) == 6
    assert all("at most six words" in request.turns[0].text for request in prompted)
    assert all(request.turns[0].role == "user" for request in make.asked("sample"))


def test_best_of_new_answers_meets_the_worst(tmp_path: Path):
    make = Writers()
    settings = "compare={from: base, samples: 3, pairs: best_worst}"
    outcome = sampled(tmp_path, make, settings, stages=("compare",))
    reasons = outcome.stages[0].excluded
    assert len(comparisons(outcome)) + sum(reasons.values()) == 3
    assert set(reasons) <= {"no answer passes, and all have the same score"}


def test_answers_that_are_all_the_same_are_a_result_with_advice(tmp_path: Path):
    outcome = sampled(
        tmp_path, Writers(sample="The same."), "compare={from: base, samples: 2}", stages=("compare", "label")
    )
    assert [result.records for result in outcome.stages] == [0, 0]
    assert "raise compare.samples (now 2)" in outcome.as_json()["advice"]["compare"]


class WritesOneAnswer(Writer):
    """Writes the same answer to all prompts but one, whose samples differ."""

    async def generate(self, request: GenerationRequest) -> Generation:
        found = await super().generate(request)
        differs = "number 3" in request.turns[-1].text.lower()
        return found if differs else found.model_copy(update={"text": "The same."})


def test_few_pairs_are_a_result_with_what_to_do(tmp_path: Path):
    settings = "compare={from: base, samples: 2}"
    outcome = sampled(tmp_path, Writers(WritesOneAnswer), settings, prompts=5, stages=("compare",))
    said = outcome.as_json()["few_pairs"]
    assert said.startswith("1 pair, and none from 4 prompts: raise compare.samples (now 2)")
    assert not outcome.as_json()["advice"]


def test_samples_are_read_back_as_they_were_written(tmp_path: Path):
    outcome = sampled(tmp_path, Writers(wide="A short one."))
    for line in record_lines(outcome.folder)["samples.jsonl"]:
        assert ScoredAnswer.model_validate_json(line).to_line() == line
        assert set(json.loads(line)) >= {
            "id",
            "prompt",
            "answer",
            "origin",
            "score",
            "passed",
            "by_principle",
        }


def test_the_command_prints_the_yield_and_show_prints_the_answers(tmp_path: Path):
    run_file = write_project(tmp_path, 4, RUN)
    shown = here("sample", run_file)
    assert shown.returncode == 0, shown.stderr
    assert "prompts have answers that differ" in shown.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    with RunReader(folder) as run:
        answer = next(iter(run.samples))
    record = " ".join(here("show", folder, answer.id).stdout.split())
    assert f"> sampled answer {answer.id} {answer.origin}: {' '.join(answer.answer.text.split())}" in record
    assert f"score {answer.score:.3f}" in record


def test_exported_data_says_how_each_answer_was_made(tmp_path: Path):
    make = Writers(wide="A short one.")
    outcome = sampled(tmp_path, make, "sft.from=samples", prompts=12, stages=("sample", "compare", "label"))
    assert export_run(outcome.folder, tmp_path / "data").rows == {
        "sft": 12,
        "preference": 12,
        "kto": 24,
        "soft": 12,
        "judgments": 12,
        "samples": 48,
    }
    rows = [
        json.loads(line)
        for path in (tmp_path / "data" / "sft").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert {(row["origin"], row["completion"][0]["content"]) for row in rows} == {("wide:0", "A short one.")}
    card = (tmp_path / "data" / "README.md").read_text()
    assert "| `samples` | 48 |" in card


def test_advice_names_the_length_of_answers_that_are_cut_off():
    config = SampleConfig(sampling={"max_new_tokens": 48})
    assert Yield(prompts=3, cut=3).advice(config).endswith("raise sample.sampling.max_new_tokens (now 48)")
    some = Yield(prompts=3, cut=1).advice(config)
    assert "of 1 of 3 prompts every answer is empty or cut off: raise sample.sampling.max_new_tokens" in some
    assert "max_new_tokens" not in Yield(prompts=3).advice(config)
