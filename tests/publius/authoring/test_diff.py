"""`publius diff --run`: only what changed is asked, and the outcome is that of a run of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from constitution.loader import load_constitution
from core.records import Comparison, Judgment, Preference
from core.statistics.bootstrap import wilson
from core.store.lock import lock
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, ChoiceScores
from engines.scripted import ScriptedEngine
from publius.authoring.diff import DiffOutcome, DiffRequest, run_diff
from publius.authoring.flips import Shift
from publius.stages.label_pairs import PairsRequest, label_pairs
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import files_of, here
from tests.publius.people import person, write_people
from tests.publius.projects import Recorder, write_project

if TYPE_CHECKING:
    from engines.hf.engine import TransformersEngine

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
compare: {from: base, samples: 4}
label: {principles: 4}
"""
SIXTEEN = "name: sixteen\nprinciples:\n" + "".join(
    f"  - {{id: p{n:02}, text: The reply fulfils demand number {n} of sixteen.}}\n" for n in range(16)
)
PROMPTS = 12
CALLS_OF_ALL = 2 * 16 * 2 * PROMPTS
"""Both orders of all principles on two comparisons of each prompt."""

Edit = Callable[[str], str]


def reword(text: str) -> str:
    return text.replace("demand number 5 of", "the fifth demand of")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


class Lab:
    """A finished run, what `diff --run` says of an edit, and the run that the edit would make."""

    def __init__(self, folder: Path, constitution: str = SIXTEEN, run: str = RUN) -> None:
        self.folder, self.text, self.config = folder, constitution, run
        self.run_file = write_project(folder / "old", PROMPTS, run, constitution)
        self.run = execute(RunRequest(self.run_file), Recorder()).folder
        self.new = folder / "new.yaml"
        self.asked = Recorder()

    def diff(self, edit: Edit, **options: object) -> DiffOutcome:
        self.new.write_text(edit(self.text))
        self.asked = Recorder()
        (self.folder / "to.jsonl").unlink(missing_ok=True)
        given = {"run": self.run, "limit": None, "to": self.folder / "to.jsonl", **options}
        return run_diff(DiffRequest(None, str(self.new), **given), self.asked)  # type: ignore[arg-type]

    def full(self, edit: Edit) -> tuple[Path, Recorder]:
        """Return a run under the edited constitution that has no answers to begin with."""
        run_file = write_project(self.folder / "full", PROMPTS, self.config, edit(self.text))
        if (self.folder / "old" / "people").is_dir() and not (self.folder / "full" / "people").exists():
            (self.folder / "full" / "people").symlink_to(self.folder / "old" / "people")
        recorder = Recorder()
        return execute(RunRequest(run_file), recorder).folder, recorder

    def require_equal(self, edit: Edit) -> None:
        full, _ = self.full(edit)
        recomputed = lines(self.folder / "to.jsonl")
        assert recomputed == lines(full / "preferences.jsonl")
        assert recomputed

    def judged(self, folder: Path | None = None) -> dict[str, set[str]]:
        """Return the comparisons that each principle was drawn for."""
        found: dict[str, set[str]] = {}
        for line in lines((folder or self.run) / "judgments.jsonl"):
            judgment = Judgment.model_validate_json(line)
            found.setdefault(judgment.principle_id or "", set()).add(judgment.comparison_id)
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_rewording_one_of_sixteen_asks_a_sixteenth_and_agrees_with_a_run_of_its_own(tmp_path: Path):
    lab = Lab(tmp_path, run=RUN.replace("principles: 4", "principles: 16"))
    outcome = lab.diff(reword)
    assert outcome.estimate is not None
    assert (outcome.estimate.calls, outcome.estimate.new) == (CALLS_OF_ALL, CALLS_OF_ALL // 16)
    assert len(lab.asked.requests) == CALLS_OF_ALL // 16
    assert all("the fifth demand" in text for text in lab.asked.texts("label"))
    lab.require_equal(reword)


def test_of_four_principles_drawn_exactly_those_judgments_are_asked_that_drew_the_reworded_one(lab: Lab):
    outcome = lab.diff(reword)
    drew = lab.judged()["p05"]
    assert 0 < len(drew) < 2 * PROMPTS
    assert len(lab.asked.requests) == outcome.estimate.new == 2 * len(drew)
    lab.require_equal(reword)


def test_same_question_again_asks_nothing(lab: Lab):
    first = lab.diff(reword)
    again = lab.diff(reword)
    assert lab.asked.requests == []
    assert again.shift.as_json() == first.shift.as_json()


def test_run_folder_is_left_as_it_was(lab: Lab):
    before = files_of(lab.run)
    lab.diff(reword)
    lab.diff(reword, estimate_only=True)
    assert files_of(lab.run) == before


def test_added_principle_is_asked_where_it_wins_a_draw(lab: Lab):
    edit: Edit = lambda text: text + "  - {id: late, text: The reply came late to the list.}\n"  # noqa: E731
    lab.diff(edit)
    full, _ = lab.full(edit)
    won = lab.judged(full)["late"]
    assert 0 < len(won) < 2 * PROMPTS
    assert len(lab.asked.requests) == 2 * len(won)
    assert all("came late" in text for text in lab.asked.texts("label"))
    lab.require_equal(edit)


def test_removed_principle_asks_its_replacements_alone(lab: Lab):
    edit: Edit = lambda text: re.sub(r"  - \{id: p05.*\n", "", text)  # noqa: E731
    lab.diff(edit)
    assert len(lab.asked.requests) == 2 * len(lab.judged()["p05"])
    lab.require_equal(edit)


@pytest.mark.parametrize(
    ("before", "after"),
    [("id: p05,", "id: p05, weight: 6.0,"), ("id: p05,", 'id: p05, applies_to: {pattern: "[05] times"},')],
    ids=["reweighted", "rescoped"],
)
def test_other_draws_ask_what_they_newly_draw(lab: Lab, before: str, after: str):
    edit: Edit = lambda text: text.replace(before, after)  # noqa: E731
    lab.diff(edit)
    old, new = lab.judged(), lab.judged(lab.full(edit)[0])
    came = sum(len(new[principle] - old.get(principle, set())) for principle in new)
    assert came > 0
    assert len(lab.asked.requests) == 2 * came
    lab.require_equal(edit)


def test_reweighting_where_all_are_drawn_asks_nothing(tmp_path: Path):
    lab = Lab(tmp_path, run=RUN.replace("principles: 4", "principles: 16"))
    edit: Edit = lambda text: text.replace("id: p05,", "id: p05, weight: 6.0,")  # noqa: E731
    outcome = lab.diff(edit)
    assert (outcome.estimate.new, lab.asked.requests) == (0, [])
    assert outcome.shift.unchanged < outcome.shift.compared
    lab.require_equal(edit)


def test_renamed_principle_asks_nothing_that_was_asked_under_its_old_name(tmp_path: Path):
    lab = Lab(tmp_path, run=RUN.replace("principles: 4", "principles: 16"))
    outcome = lab.diff(lambda text: text.replace("id: p05,", "id: fifth,"))
    assert [change.kind for change in outcome.diff.changes] == ["renamed"]
    assert lab.asked.requests == []


def test_changed_preamble_asks_everything_and_says_so_beforehand(lab: Lab):
    edit: Edit = lambda text: text.replace("principles:", "preamble: Be good.\nprinciples:", 1)  # noqa: E731
    said = lab.diff(edit, estimate_only=True)
    assert said.estimate.new == said.estimate.calls == 2 * 4 * 2 * PROMPTS
    assert lab.asked.requests == []
    lab.diff(edit)
    assert len(lab.asked.requests) == said.estimate.calls
    lab.require_equal(edit)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("id: p05,", "id: p05, examples: [{prompt: A?, good: b, bad: c}],"),
        lambda text: text.replace("name: sixteen", "name: another\nversion: 2"),
        lambda text: text.replace("id: p05,", "id: p05, critique: What is wrong with it?,"),
    ],
    ids=["test example", "name", "critique"],
)
def test_what_labels_do_not_depend_on_asks_nothing_and_changes_no_probability(lab: Lab, edit: Edit):
    outcome = lab.diff(edit)
    assert lab.asked.requests == []
    assert outcome.shift.unchanged == outcome.shift.compared == 2 * PROMPTS
    assert outcome.shift.mean_change == 0


def test_checks_are_done_again_without_a_model(tmp_path: Path):
    checked = SIXTEEN + "  - {id: brief, text: The reply is brief., check: {kind: max_words, value: 12}}\n"
    lab = Lab(tmp_path, checked)
    for edit in (
        lambda text: text.replace("value: 12", "value: 25"),
        lambda text: text.replace("id: brief,", "id: brief, hard: true,"),
    ):
        lab.diff(edit)
        assert lab.asked.requests == []
        lab.require_equal(edit)
    outcome = lab.diff(lambda text: text.replace("id: brief,", "id: brief, hard: true,"))
    assert list(outcome.shift.vanished) == ["both answers break a hard principle (brief)"]
    assert len(outcome.shift.went) == outcome.shift.vanished.total() > 0


def test_preference_appears_where_nothing_forbids_it_any_more(tmp_path: Path):
    hard = "  - {id: brief, hard: true, text: The reply is brief., check: {kind: max_words, value: 12}}\n"
    lab = Lab(tmp_path, SIXTEEN + hard)
    outcome = lab.diff(lambda text: text.replace("hard: true, ", ""))
    assert list(outcome.shift.appeared) == ["both answers break a hard principle (brief)"]


@pytest.mark.parametrize("mix", ["override", "weights", "pooled", "classic"])
def test_people_count_as_in_the_runs_own_label_stage(tmp_path: Path, mix: str):
    settings = f"label: {{principles: 4, humans: [people], mix: {mix}}}"
    first = Lab(tmp_path / "first")
    judged = [Comparison.model_validate_json(line) for line in lines(first.run / "comparisons.jsonl")][:9]
    folder = tmp_path / "second" / "old" / "people"
    write_people(
        folder, [person(c.id, "ab"[n % 2], who) for n, c in enumerate(judged) for who in ("anna", "ben")]
    )
    lab = Lab(tmp_path / "second", run=RUN.replace("label: {principles: 4}", settings))
    outcome = lab.diff(reword)
    lab.require_equal(reword)
    for flip in outcome.shift.flips:
        assert sum(flip.moves.values()) == pytest.approx(flip.after - flip.before)


def test_flips_come_most_decisive_first_with_what_moved_them(lab: Lab):
    edit: Edit = lambda text: text.replace("id: p05,", "id: p05, weight: 6.0,")  # noqa: E731
    shift = lab.diff(edit).shift
    old, new = (
        {p.comparison_id: p for p in map(Preference.model_validate_json, lines(path))}
        for path in (lab.run / "preferences.jsonl", lab.folder / "to.jsonl")
    )
    flipped = {key for key in old if old[key].chosen != new[key].chosen}
    assert {flip.comparison_id for flip in shift.flips} == flipped
    assert shift.flipped == len(flipped) > 1
    assert (shift.share.value, shift.share.low > 0) == (len(flipped) / (2 * PROMPTS), True)
    moved = [flip.after - flip.before for flip in shift.flips]
    assert moved == sorted(moved, reverse=True)
    for flip in shift.flips:
        assert flip.before < 0.5 < flip.after
        assert flip.after == new[flip.comparison_id].p_chosen
        assert flip.chosen_now == new[flip.comparison_id].chosen[0].content
        assert sum(flip.moves.values()) == pytest.approx(flip.after - flip.before)
        assert flip.moves[flip.moved_by] == max(flip.moves.values())
    assert sum(judged.flips for judged in shift.by_principle.values()) == len(flipped)
    shown = lab.diff(edit, limit=1).shift
    assert [flip.comparison_id for flip in shown.flips] == [shift.flips[0].comparison_id]
    assert shown.flipped == len(flipped)


class Dying(ScriptedEngine):
    """Answers so many questions, and is then interrupted."""

    left = 7

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return await super().choose(request)


def test_interrupted_recomputation_keeps_what_was_answered(lab: Lab):
    lab.new.write_text(reword(SIXTEEN))
    before = lab.diff(reword, estimate_only=True).estimate.new

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return Dying(model=model.id)

    with pytest.raises(KeyboardInterrupt):
        run_diff(DiffRequest(None, str(lab.new), lab.run), make)
    assert lab.diff(reword, estimate_only=True).estimate.new == before - 7
    lab.diff(reword)
    assert len(lab.asked.requests) == before - 7
    lab.require_equal(reword)


def test_pairs_of_a_file_can_be_recomputed(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No idea."} for n in range(4)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "old.yaml").write_text(SIXTEEN)
    (tmp_path / "new.yaml").write_text(reword(SIXTEEN))
    request = PairsRequest(
        pairs, str(tmp_path / "old.yaml"), "m", tmp_path, ("engine.kind=scripted", "label.principles=16")
    )
    run = label_pairs(request, Recorder()).folder
    outcome = run_diff(DiffRequest(None, str(tmp_path / "new.yaml"), run, limit=None), Recorder())
    assert (outcome.estimate.calls, outcome.estimate.new) == (128, 8)


# The command itself. Its engines are those of a run by `publius run`, whose scripted model has another name.


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A run by the command line and an edited constitution."""
    run = RUN.replace("principles: 4", "principles: 16")
    done = here("run", write_project(tmp_path, 4, run, SIXTEEN), "--json")
    (tmp_path / "new.yaml").write_text(reword(SIXTEEN))
    return Path(json.loads(done.stdout)["run"]), tmp_path / "new.yaml"


def failure(*arguments: object) -> str:
    done = here("diff", *arguments)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(errors) == 1, done.stderr
    return errors[0]


def test_command_shows_what_changed_and_what_flips(made: tuple[Path, Path]):
    run, new = made
    done = here("diff", new, "--run", run)
    assert done.returncode == 0, done.stderr
    assert "fulfils {+the fifth+} demand [-number 5-] of" in done.stdout
    assert "new requests where it is drawn: critiques, revisions, labels" in done.stdout
    assert "256 labeler calls: 16 new, 240 in the cache" in done.stderr
    assert "8 under both constitutions" in done.stdout
    assert here("diff", run / "constitution.yaml", new, "--run", run).returncode == 0


def test_estimate_asks_nothing_and_stops(made: tuple[Path, Path]):
    run, new = made
    for _ in range(2):
        done = here("diff", new, "--run", run, "--estimate")
        assert "256 labeler calls: 16 new" in done.stdout
    assert "Flips" not in done.stdout
    assert "tokens: " in done.stdout
    assert "price: no prices" in done.stdout
    cost = json.loads(here("diff", new, "--run", run, "--estimate", "--rate", "10", "--json").stdout)["cost"]
    assert cost["prompt_tokens"] > 16
    # A labeler that chooses writes nothing; it reads as fast as the steering measured for this rate.
    assert (cost["generated_tokens"], cost["usd"]) == (0, None)
    assert cost["seconds"] == pytest.approx(cost["prompt_tokens"] / 45, rel=0.05)


def test_json_is_json_alone_and_has_everything(made: tuple[Path, Path], tmp_path: Path):
    run, new = made
    done = here("diff", run, new, "--run", run, "--json", "--to", tmp_path / "to.jsonl")
    found = json.loads(done.stdout)
    assert found["old"]["digest"] == load_constitution(run / "constitution.yaml").digest
    assert [(c["kind"], c["principle"]) for c in found["changes"]] == [("reworded", "p05")]
    assert found["estimate"] == {"comparisons": 8, "calls": 256, "new": 16}
    assert found["preferences"]["compared"] == 8
    assert found["preferences"]["flipped"] == len(found["preferences"]["flips"])
    assert len(lines(tmp_path / "to.jsonl")) == 8


def test_exit_code_says_whether_there_are_differences_where_asked(made: tuple[Path, Path]):
    run, new = made
    assert here("diff", run, new).returncode == 0
    assert here("diff", run, new, "--exit-code").returncode == 1
    same = here("diff", run, run / "constitution.yaml", "--exit-code")
    assert (same.returncode, "no differences" in same.stdout) == (0, True)


def test_presets_are_compared():
    done = here("diff", "harmless", "plain-and-brief", "--json")
    kinds = {change["kind"] for change in json.loads(done.stdout)["changes"]}
    assert {"added", "removed", "changed"} <= kinds


def test_mistakes_are_told_in_one_line(made: tuple[Path, Path], tmp_path: Path):
    run, new = made
    assert "give OLD and NEW, or NEW and --run RUN" in failure(new)
    assert "--estimate requires --run RUN" in failure(new, new, "--estimate")
    assert "--to requires --run RUN or --replies FILE" in failure(new, new, "--to", "x.jsonl")
    assert "not a run folder" in failure(new, "--run", tmp_path)
    assert "not a run folder" in failure(tmp_path, new)
    assert "no such file" in failure(tmp_path / "gone.yaml", new)
    assert "is not the constitution of the run" in failure("harmless", new, "--run", run)
    assert "in the run folder" in failure(new, "--run", run, "--to", run / "x.jsonl")
    (tmp_path / "mine.jsonl").write_text("mine")
    assert "already exists" in failure(new, "--run", run, "--to", tmp_path / "mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_text() == "mine"
    assert ".jsonl" in failure(new, "--run", run, "--to", new)
    assert "no such folder" in failure(new, "--run", run, "--to", tmp_path / "gone" / "x.jsonl")
    (tmp_path / "bad.yaml").write_text("name: x\nprinciples: [{id: a, txt: One.}]\n")
    done = here("diff", tmp_path / "bad.yaml", "--run", run)
    assert done.returncode == 2
    assert "bad.yaml:2:" in done.stderr


def test_run_that_was_copied_away_from_its_cache_says_why_all_is_asked(
    made: tuple[Path, Path], tmp_path: Path
):
    run, new = made
    copy = shutil.copytree(run, tmp_path / "away" / "runs" / run.name)
    done = here("diff", new, "--run", copy, "--estimate")
    assert "no request cache" in done.stderr
    assert "256 new" in done.stdout


def test_examples_and_long_texts_are_shown_in_short(tmp_path: Path):
    long = " ".join(f"word{n}" for n in range(300))
    for name, text, examples in (("old", "old", "[]"), ("new", "new", "[{prompt: A?, good: b, bad: c}]")):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: x\npreamble: {text} {long}\nprinciples: [{{id: a, text: One., examples: {examples}}}]\n"
        )
    done = here("diff", tmp_path / "old.yaml", tmp_path / "new.yaml")
    assert "[-old-] {+new+} word0 word1" in done.stdout
    assert "word24 … word275" in done.stdout
    assert "new requests everywhere: critiques, revisions, labels" in done.stdout
    assert "examples changed examples: none -> 1 test\n    no new requests" in done.stdout


def test_run_without_labels_is_refused(tmp_path: Path):
    run_file = write_project(tmp_path, 4, RUN, SIXTEEN)
    assert here("compare", run_file).returncode == 0
    (run,) = (tmp_path / "runs").iterdir()
    said = failure(tmp_path / "constitution.yaml", "--run", run)
    assert "no preferences yet" in said
    label = words_of(said)
    assert label[:1] == ["label"]
    assert here(*label).returncode == 0
    assert here("diff", tmp_path / "constitution.yaml", "--run", run, "--estimate").returncode == 0


def test_run_that_only_evaluated_is_told_how_to_measure_both(tmp_path: Path):
    settings = RUN + "split: {train: 0, preference: 0, test: 1}\ntrain: []\n"
    run_file = write_project(tmp_path, 4, settings, SIXTEEN)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(prompts.read_text().replace('"train"', '"test"'))
    only = "eval={models: [base, prompted], kl: false, quality: false}"
    done = here("eval", run_file, "--set", only)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    edited = tmp_path / "edited.yaml"
    edited.write_text(reword(SIXTEEN))
    said = failure(edited, "--run", run)
    assert "the run compared no answers" in said
    assert "RUN.yaml" not in said
    done = here(*words_of(said.removesuffix(", which measures both on the same prompts")), "--json")
    assert done.returncode == 0, done.stderr
    assert "self-labelled" not in done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 2


def words_of(error: str) -> list[str]:
    """Return the command that an error says to run, without `publius`."""
    return shlex.split(error.partition("run: publius ")[2])


def test_run_that_is_being_written_is_refused(made: tuple[Path, Path]):
    run, new = made
    held = lock(run)
    try:
        assert f"another process (PID {os.getpid()}) is writing" in failure(new, "--run", run)
    finally:
        os.close(held)
    assert here("diff", new, "--run", run, "--estimate").returncode == 0


def test_run_whose_constitution_was_edited_is_refused(made: tuple[Path, Path]):
    run, new = made
    (run / "constitution.yaml").write_text(reword(SIXTEEN))
    assert "constitution.yaml was changed after the run was labelled" in failure(new, "--run", run)


def test_other_labeler_than_the_runs_is_refused(made: tuple[Path, Path]):
    run, new = made
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["identity"]["models"]["labeler"] = "another"
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "is not the one that labelled the run" in failure(new, "--run", run)


@pytest.mark.slow
def test_real_model_is_asked_only_what_changed_and_agrees_with_a_run_of_its_own(
    tmp_path: Path, embedded_engine: TransformersEngine
):
    rows = [
        {"prompt": "Is two aspirin safe?", "chosen": "Ask a pharmacist.", "rejected": "Yes, always."},
        {"prompt": "Tell me a joke.", "chosen": "I bought a second hat.", "rejected": "No."},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("label.principles=3", "engine.device=cpu")

    def label(constitution: str, project: Path) -> Path:
        pairs = PairsRequest(tmp_path / "pairs.jsonl", constitution, "embedded", project, settings)
        return label_pairs(pairs, lambda model, engine: embedded_engine).folder

    old = load_constitution("harmless")
    run = label("harmless", tmp_path / "one")
    judgments = [Judgment.model_validate_json(line) for line in lines(run / "judgments.jsonl")]
    drawn = [judgment.principle_id for judgment in judgments if judgment.labeler == "ai"]
    reworded = [
        principle.model_copy(update={"text": "The reply is as it should be."})
        if principle.id == drawn[0]
        else principle
        for principle in old.principles
    ]
    new = tmp_path / "new.yaml"
    new.write_text(old.model_copy(update={"principles": tuple(reworded)}).to_yaml())
    request = DiffRequest(None, str(new), run, to=tmp_path / "to.jsonl", limit=None)
    outcome = run_diff(request, lambda model, engine: embedded_engine)
    assert (outcome.estimate.calls, outcome.estimate.new) == (2 * len(drawn), 2 * drawn.count(drawn[0]))

    full = label(str(new), tmp_path / "two")
    found, expected = (
        [Preference.model_validate_json(line) for line in lines(path)]
        for path in (tmp_path / "to.jsonl", full / "preferences.jsonl")
    )
    assert [p.id for p in found] == [p.id for p in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.p_chosen == pytest.approx(theirs.p_chosen, abs=1e-4)
        assert ours.by_principle.keys() == theirs.by_principle.keys()


def test_interval_of_the_share_of_flips_is_over_prompts():
    def shift(times: int, *, shared: bool) -> Shift:
        found = Shift(limit=None)
        for number in range(40):
            for copy in range(times):
                prompt = f"{number}" if shared else f"{number} {copy}"
                found.add(prompt, 0.4, 0.6 if number % 4 == 0 else 0.3)
                found.flipped += number % 4 == 0
        return found

    one, shared, independent = shift(1, shared=True), shift(6, shared=True), shift(6, shared=False)
    assert one.share == wilson(0.25, 40)
    assert independent.share == wilson(0.25, 240)
    assert shared.share.value == 0.25
    # Six comparisons of a prompt that flip together say no more than one.
    assert shared.share.high - shared.share.low == pytest.approx(one.share.high - one.share.low, rel=0.05)
