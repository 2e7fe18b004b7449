"""`publius import labels`: rows by conditions, single aspects, what a file does not say, crowd results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.records import Comparison, Prompt
from labelers.formats.stated import NO_WANTED_ASPECT
from publius.audit.gold import read_gold
from publius.labels.exporting import LABEL_FORMS, export_labels
from publius.labels.importing import ImportedLabels, LabelsRequest, import_labels
from publius.sources.rows import DataSource
from tests.labelers.formats.reading import FIXTURES
from tests.publius.invoking import here
from tests.publius.labels.test_importing import records, summary_of, written
from tests.publius.people import person, write_people
from tests.publius.test_cli import mistakes

MTURK = FIXTURES / "mturk.csv"


def votes(folder: Path) -> Path:
    """Three rows of two workers, one of whom was rejected."""
    states = (("Ann", "ok", "true"), ("Ann", "Rejected", "false"), ("Ben", "ok", "true"))
    rows = [f"Question {n}?,Yes {n}.,No {n}.,{'ab'[n % 2]},{','.join(s)}" for n, s in enumerate(states)]
    path = folder / "votes.csv"
    path.write_text(
        "\n".join(["prompt,response_a,response_b,verdict,WorkerId,ReviewStatus,valid", *rows]) + "\n"
    )
    return path


def rated(folder: Path) -> Path:
    def completion(text: str, tone: str, honesty: str) -> dict[str, object]:
        ratings = {"tone": {"Rating": tone}, "honesty": {"Rating": honesty}}
        return {"model": text, "response": text, "annotations": ratings}

    listed = [completion("x", "5", "1"), completion("y", "4", "3"), completion("z", "4", "N/A")]
    return written(folder / "rated.jsonl", {"instruction": "Name a bird.", "completions": listed})


# Rows by conditions


@pytest.mark.parametrize(
    "where",
    [
        ("ReviewStatus!=Rejected",),
        ("ReviewStatus=ok",),
        ("valid=true",),
        ("ReviewStatus != [Rejected, Draft]",),
        ("ReviewStatus!=Rejected", "ReviewStatus!=Draft"),
    ],
)
def test_rows_that_do_not_meet_the_conditions_are_counted_with_the_reason(
    tmp_path: Path, where: tuple[str, ...]
):
    options = [part for condition in where for part in ("--where", condition)]
    summary = summary_of(votes(tmp_path), "--to", tmp_path / "to", *options, "--strict")
    assert [summary[name] for name in ("rows", "kept", "dropped", "dropped_for")] == [3, 2, 1, []]
    (left,) = summary["where"]
    assert left["reason"].startswith("left out by --where ")
    assert left["rows"] == [2]
    (excluded,) = (
        json.loads(line) for line in (tmp_path / "to" / "exclusions.jsonl").read_text().splitlines()
    )
    assert excluded["record_id"] == "votes.csv:2"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (("state!=Rejected",), "--where: no column 'state'"),
        (("ReviewStatus=done",), "--where: no row has ReviewStatus = done; accepted: values of the rows"),
        (("ReviewStatus",), "--where: found 'ReviewStatus'; accepted: COLUMN=VALUE"),
        (("valid=true", "valid=false"), "--where: two values for 'valid'"),
    ],
)
def test_conditions_that_no_row_can_meet_are_refused(tmp_path: Path, where: tuple[str, ...], said: str):
    options = [part for condition in where for part in ("--where", condition)]
    done = here("import", "labels", votes(tmp_path), "--to", tmp_path / "to", *options)
    assert done.returncode != 0
    assert said in done.stderr
    assert not (tmp_path / "to").exists()


def test_ignored_columns_that_say_which_rows_count_are_named(tmp_path: Path):
    done = here("import", "labels", votes(tmp_path), "--to", tmp_path / "to")
    assert (
        "ReviewStatus has 1 row 'Rejected', all imported; --where 'ReviewStatus!=Rejected' leaves them out"
        in (done.stderr)
    )
    assert "valid has 1 row 'false'" in done.stderr
    assert "annotators are read from the column 'WorkerId'" in done.stdout
    with_where = here(
        "import", "labels", votes(tmp_path), "--to", tmp_path / "b", "--where", "ReviewStatus=ok"
    )
    assert "ReviewStatus has" not in with_where.stderr


def test_conditions_are_part_of_the_import(tmp_path: Path):
    path, to = votes(tmp_path), tmp_path / "to"
    summary_of(path, "--to", to, "--where", "valid=true")
    assert here("import", "labels", path, "--to", to).returncode != 0
    assert summary_of(path, "--to", to, "--where", "valid=true")["already"]


# Mechanical Turk


def test_rejected_assignments_are_left_out_unless_they_are_wanted(tmp_path: Path):
    summary = summary_of(MTURK, "--to", tmp_path / "one")
    (left,) = (one for one in summary["dropped_for"] if one["reason"] == "the assignment was rejected")
    assert (left["count"], left["rows"], left["detail"]) == (2, [7, 8], "AssignmentStatus is Rejected")
    _, judgments = records(tmp_path / "one")
    assert {(j.annotator, j.shown_first) for j in judgments} == {("A1", None), ("A2", None), ("A4", None)}
    first = next(j for j in judgments if j.comment == "Says what to do.")
    assert first.duration_s == 11.0
    assert first.created is not None
    assert first.created.isoformat() == "2026-11-30T10:00:00-08:00"
    wanted = ("--where", "AssignmentStatus=[Approved, Submitted, Rejected]")
    assert summary_of(MTURK, "--to", tmp_path / "two", *wanted)["annotators"] == 4
    said = here("import", "labels", MTURK, "--to", tmp_path / "three")
    assert "to count rejected assignments, too: --where 'AssignmentStatus=" in said.stderr


def test_columns_of_ones_own_go_before_those_that_are_recognised(tmp_path: Path):
    mapped = (
        "prompt=Input.question,response_a=Input.answer_b,response_b=Input.answer_a,verdict=Answer.preference"
    )
    summary = summary_of(MTURK, "--to", tmp_path / "to", "--columns", mapped, "--verdicts", "b=1")
    assert summary["format"] == "mturk"
    assert "the assignment was rejected" in {one["reason"] for one in summary["dropped_for"]}
    comparisons, judgments = records(tmp_path / "to")
    assert "A3" in {j.annotator for j in judgments}  # whose verdict is 1
    texts = {one.id: one for one in comparisons}
    first = next(j for j in judgments if j.comment == "Says what to do.")
    answer = getattr(texts[first.comparison_id], f"response_{first.verdict}")
    assert answer.startswith("[2] Soak")  # answer_a, which is mapped to response_b


def batch(
    folder: Path, *assignments: str, answers: str = "Input.old,Input.new", given: str = "Answer.q1"
) -> Path:
    """Two assignments that count, of Ann and Ben, and one that was rejected; or others."""
    rows = assignments or ("Ann,Approved,1", "Ben,Submitted,2", "Cat,Rejected,2")
    columns = f"HITId,AssignmentId,Input.question,{answers},WorkerId,AssignmentStatus,{given}"
    path = folder / "hits.csv"
    path.write_text("\n".join([columns, *(f"h,n,A bird?,Crow.,Wren.,{row}" for row in rows)]) + "\n")
    return path


def preferred(folder: Path) -> dict[str | None, str]:
    """Return the answer that each annotator prefers."""
    comparisons, judgments = records(folder)
    texts = {one.id: one for one in comparisons}
    return {j.annotator: getattr(texts[j.comparison_id], f"response_{j.verdict}") for j in judgments}


_ANSWERS = "response_a=Input.old,response_b=Input.new"


@pytest.mark.parametrize(
    "columns",
    [
        "annotator=WorkerId",
        "prompt=Input.question,verdict=Answer.q1",
        "verdict=Answer.q1,annotator=WorkerId",
        f"{_ANSWERS},verdict=Answer.q1",
        f"{_ANSWERS},annotator=WorkerId",
        f"prompt=Input.question,{_ANSWERS},verdict=Answer.q1,annotator=WorkerId",
        "",
    ],
)
def test_a_batch_is_recognised_whichever_columns_are_mapped(tmp_path: Path, columns: str):
    mapped = ("--columns", columns) if columns else ()
    summary = summary_of(batch(tmp_path), "--to", tmp_path / "to", *mapped, "--verdicts", "a=1,b=2")
    assert summary["format"] == "mturk"
    assert [one["reason"] for one in summary["dropped_for"]] == ["the assignment was rejected"]
    assert preferred(tmp_path / "to") == {"Ann": "Crow.", "Ben": "Wren."}


def test_a_table_with_a_column_hitid_alone_is_no_batch(tmp_path: Path):
    path = tmp_path / "votes.csv"
    path.write_text("HITId,prompt,response_a,response_b,verdict,annotator\nh,A bird?,Crow.,Wren.,a,Ann\n")
    assert summary_of(path, "--to", tmp_path / "to")["format"] == "columns"


@pytest.mark.parametrize("columns", ["", _ANSWERS, f"{_ANSWERS},verdict=Answer.q1"])
@pytest.mark.parametrize("answers", ["Input.old,Input.new", "Input.new,Input.old"])
def test_the_words_that_tell_the_answers_apart_are_verdicts(tmp_path: Path, columns: str, answers: str):
    path = batch(tmp_path, "Ann,Approved,new", "Ben,Approved,old", answers=answers)
    summary = summary_of(path, "--to", tmp_path / "to", *(("--columns", columns) if columns else ()))
    new = "Wren." if answers.endswith("new") else "Crow."
    assert preferred(tmp_path / "to")["Ann"] == new
    assert preferred(tmp_path / "to")["Ben"] != new
    (comparison,) = records(tmp_path / "to")[0]
    assert {comparison.origin_a, comparison.origin_b} == {"old", "new"}
    assert summary["won"]["preferred"] == {"old": 1, "new": 1}


@pytest.mark.parametrize(("word", "answer"), [("A", "Wren."), ("answer_a", "Wren."), ("Option B", "Crow.")])
@pytest.mark.parametrize("verdict", ["", ",verdict=Answer.q1"])
def test_verdicts_are_the_files_names_where_the_answers_are_mapped_crosswise(
    tmp_path: Path, word: str, answer: str, verdict: str
):
    path = batch(tmp_path, f"Ann,Approved,{word}", answers="Input.answer_b,Input.answer_a")
    mapped = f"response_a=Input.answer_b,response_b=Input.answer_a{verdict}"
    summary_of(path, "--to", tmp_path / "to", "--columns", mapped)
    assert preferred(tmp_path / "to") == {"Ann": answer}


def test_letters_of_answers_are_no_origins(tmp_path: Path):
    path = batch(tmp_path, "Ann,Approved,A", answers="Input.answer_a,Input.answer_b")
    summary_of(path, "--to", tmp_path / "to")
    (comparison,) = records(tmp_path / "to")[0]
    assert {comparison.origin_a, comparison.origin_b} == {"response_a", "response_b"}


def test_verdicts_of_several_questions_need_the_column(tmp_path: Path):
    path = batch(tmp_path, "Ann,Approved,1,2,7", given="Answer.q1,Answer.q2,Answer.why")
    to, words = tmp_path / "to", ("--verdicts", "a=1,b=2")
    done = here("import", "labels", path, "--to", to, *words)
    assert done.returncode != 0
    assert (
        "--verdicts: which column has the verdicts is not known: Answer.q1, Answer.q2; accepted: --columns "
        "verdict=NAME beside it" in done.stderr
    )
    summary_of(path, "--to", to, *words, "--columns", "verdict=Answer.q2")
    assert preferred(to) == {"Ann": "Wren."}
    several = "verdict=Answer.q1,verdict=Answer.q2"
    done = here("import", "labels", path, "--to", tmp_path / "no", *words, "--columns", several)
    assert "--columns: 2 columns of verdicts, but a row is the assignment of one worker" in done.stderr


@pytest.mark.parametrize(
    ("given", "cells", "word", "options"),
    [
        ("Answer.choice.label", "x", "x", "--columns verdict=Answer.choice.label --verdicts a=...,b=..."),
        ("Answer.choice.1,Answer.choice.2", "false,true", "2", "--verdicts a=...,b=..."),
        ("Answer.taskAnswers", '"[{""choice"": ""x""}]"', "x", "--verdicts a=...,b=..."),
    ],
)
def test_a_verdict_that_is_not_understood_is_shown_with_the_options_that_map_it(
    tmp_path: Path, given: str, cells: str, word: str, options: str
):
    path = batch(tmp_path, f"Ann,Approved,{cells}", given=given)
    done = here("import", "labels", path, "--to", tmp_path / "to")
    assert f"the verdict is not recognised, {word!r}; {options}" in done.stderr
    summary_of(path, "--to", tmp_path / "to", *options.replace("a=...,b=...", f"b={word}").split())
    assert preferred(tmp_path / "to") == {"Ann": "Wren."}


def test_without_a_verdict_in_the_column_that_is_mapped_no_other_counts(tmp_path: Path):
    path = batch(tmp_path, "Ann,Approved,,a", "Ben,Approved,b,a", given="Answer.q1,Answer.honest")
    summary = summary_of(path, "--to", tmp_path / "to", "--columns", "verdict=Answer.q1")
    assert preferred(tmp_path / "to") == {"Ben": "Wren."}
    assert [one["reason"] for one in summary["dropped_for"]] == ["the assignment has no verdict"]


def test_several_questions_of_an_assignment_are_dimensions(tmp_path: Path):
    columns = (
        "HITId,WorkerId,Input.prompt,Input.output_1,Input.output_2,Answer.better,Answer.honest,Answer.why"
    )
    cells = "h,w,A bird?,Crow.,Wren.,output_1,output_2,same"
    path = tmp_path / "hits.csv"
    path.write_text(f"{columns}\n{cells}\n")
    summary_of(path, "--to", tmp_path / "to")
    comparisons, judgments = records(tmp_path / "to")
    said = {j.dimension: getattr(comparisons[0], f"response_{j.verdict}") for j in judgments}
    assert said == {None: "Crow.", "honest": "Wren."}
    assert {j.comment for j in judgments} == {"same"}


@pytest.mark.parametrize("names", [("Input.left", "Input.right"), ("Input.A", "Input.B")])
def test_answers_are_known_by_their_sides_alone(tmp_path: Path, names: tuple[str, str]):
    path = tmp_path / "hits.csv"
    path.write_text(
        f"HITId,WorkerId,Input.ask,{','.join(names)},Answer.best\nh,w,A bird?,Crow.,Wren.,{names[1][6:]}\n"
    )
    summary_of(path, "--to", tmp_path / "to", "--columns", "prompt=Input.ask")
    comparisons, judgments = records(tmp_path / "to")
    assert [getattr(comparisons[0], f"response_{j.verdict}") for j in judgments] == ["Wren."]
    path.write_text("HITId,WorkerId,Input.ask,Input.x,Input.z,Answer.best\nh,w,A bird?,Crow.,Wren.,x\n")
    done = here("import", "labels", path, "--to", tmp_path / "no")
    assert "Input.ask, Input.x, Input.z; --columns response_a=NAME,response_b=NAME" in done.stderr


def test_an_audit_reads_the_batch_without_rejected_assignments():
    _, (source,) = read_gold([str(MTURK)])
    assert source.format == "mturk"
    assert source.excluded["the assignment was rejected"] == 2


# What the file does not say


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_answer_shown_first_is_stated_for_the_whole_file(tmp_path: Path, side: str):
    summary_of(MTURK, "--to", tmp_path / "to", "--shown-first", side)
    comparisons, judgments = records(tmp_path / "to")
    texts = {one.id: one for one in comparisons}
    first = next(j for j in judgments if j.comment == "Says what to do.")
    shown = getattr(texts[first.comparison_id], f"response_{first.shown_first}")
    assert shown.startswith({"a": "[2] Soak", "b": "[1] Cut"}[side])


def test_a_record_of_the_file_goes_before_what_is_stated(tmp_path: Path):
    rows = [{"prompt": f"{n}?", "response_a": "x", "response_b": "y", "verdict": "a", "shown_first": s}
            for n, s in enumerate(("b", ""))]  # fmt: skip
    summary_of(written(tmp_path / "t.jsonl", *rows), "--to", tmp_path / "to", "--shown-first", "a")
    comparisons, judgments = records(tmp_path / "to")
    texts = {one.id: one for one in comparisons}
    shown = {
        texts[j.comparison_id].prompt.messages[0].content: getattr(
            texts[j.comparison_id], f"response_{j.shown_first}"
        )
        for j in judgments
    }
    assert shown == {"0?": "y", "1?": "x"}


def test_a_model_that_rated_is_named_by_the_user_alone(tmp_path: Path):
    summary_of(rated(tmp_path), "--to", tmp_path / "one")
    assert {j.model for j in records(tmp_path / "one")[1]} == {None}
    summary_of(rated(tmp_path), "--to", tmp_path / "two", "--model", "judge-7b")
    assert {j.model for j in records(tmp_path / "two")[1]} == {"judge-7b"}


# Aspects


def test_one_aspect_alone_is_imported(tmp_path: Path):
    summary = summary_of(rated(tmp_path), "--to", tmp_path / "to", "--aspect", "Tone", "--strict")
    assert {j.dimension for j in records(tmp_path / "to")[1]} == {"tone"}
    assert (summary["judgments"], summary["left_out"]) == (3, [])
    (other,) = summary["aspects"]
    assert (other["reason"], other["count"]) == ("another aspect: honesty", 1)


def test_an_aspect_that_the_file_lacks_is_refused_with_those_that_it_has(tmp_path: Path):
    done = here("import", "labels", rated(tmp_path), "--to", tmp_path / "to", "--aspect", "candour")
    assert "accepted: --aspect with one of the file's: honesty, tone" in done.stderr


def test_a_row_without_a_difference_is_dropped_for_that_and_not_for_a_rating(tmp_path: Path):
    path = rated(tmp_path)
    row = json.loads(path.read_text())
    row["completions"][1]["annotations"]["honesty"]["Rating"] = "2"
    other = json.loads(rated(tmp_path).read_text()) | {"instruction": "Name a fish."}
    found: ImportedLabels = import_labels(
        LabelsRequest(DataSource(str(written(path, row, other))), tmp_path / "to", min_margin=2)
    )
    (dropped,) = found.summary["dropped_for"]
    assert (dropped["reason"], dropped["rows"]) == ("no pair with a score difference of at least 2", [1])


def test_strict_does_not_mind_rows_without_a_wanted_aspect(tmp_path: Path):
    rows = [{"prompt": f"{n}?", "response_a": "x", "response_b": "y", "verdict": "a", "dimension": aspect}
            for n, aspect in enumerate(("honesty", "tone"))]  # fmt: skip
    asked = ("--to", tmp_path / "to", "--aspect", "honesty", "--strict")
    summary = summary_of(written(tmp_path / "t.jsonl", *rows), *asked)
    assert (summary["kept"], summary["dropped"], summary["judgments"]) == (1, 1, 1)
    (dropped,) = summary["dropped_for"]
    assert (dropped["reason"], dropped["detail"]) == (NO_WANTED_ASPECT, "honesty")
    assert summary_of(tmp_path / "t.jsonl", *asked)["already"]


def test_labels_without_aspects_are_said_to_name_none(tmp_path: Path):
    done = here("import", "labels", votes(tmp_path), "--to", tmp_path / "to", "--aspect", "honesty")
    assert "accepted: no --aspect: the labels name no aspect" in done.stderr


def test_a_file_without_a_usable_row_is_told_with_its_own_columns(tmp_path: Path):
    path = tmp_path / "same.csv"
    path.write_text("q,old,new,pick\nWhy?,So.,So.,old\nHow?,Thus.,Thus.,new\n")
    mapped = "prompt=q,response_a=old,response_b=new,verdict=pick"
    done = here("import", "labels", path, "--to", tmp_path / "to", "--columns", mapped)
    assert "columns: q, old, new, pick)" in done.stderr
    assert "or --columns" not in done.stderr  # these are the ones that were given


def test_tags_are_counted_for_the_pairs_that_are_wanted(tmp_path: Path):
    rows = [{"prompt": f"Question {n}?", "response_a": "x", "response_b": "y", "verdict": "a", "dimension": d}
            for n, d in enumerate(("honesty", "tone", "tone"))]  # fmt: skip
    (tmp_path / "prompts.csv").write_text("prompt,tags\nQuestion 0?,safe\nQuestion 1?,safe\n")
    path, asked = written(tmp_path / "t.jsonl", *rows), ("--prompts", tmp_path / "prompts.csv")
    done = here("import", "labels", path, "--to", tmp_path / "to", *asked, "--aspect", "honesty")
    assert "prompts.csv: tags for 1 of 1 pairs, from 1 of its 2 prompts" in " ".join(done.stderr.split())


# Records that Publius exported

SHOWN, RICH = "<p>Crow &amp; co.</p>", "<p>Wren.</p>"


def exported(folder: Path, form: str, prompt: Prompt | None = None) -> tuple[Path, Comparison]:
    """An export of one comparison that a person judged in two aspects and a check in none."""
    about = Comparison.of(prompt or Prompt.of("Name a <b>bird</b>."), (SHOWN, "old"), (RICH, "new"))
    judgments = [
        person(about.id, "a", id="1" * 16, dimension="honesty"),
        person(about.id, "b", id="2" * 16, dimension="tone"),
        person(about.id, "a", "ben", id="3" * 16, dimension="honesty", shown_first="b", model="judge-1b"),
        person(about.id, "a", id="4" * 16, labeler="check", annotator=None, dimension="honesty"),
    ]
    write_people(folder / "people", judgments, [about])
    export_labels(folder / "people", form, folder / "out.json")
    return folder / "out.json", about


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_aspects_and_what_the_user_says_hold_for_exported_records(tmp_path: Path, form: str):
    path, about = exported(tmp_path, form)
    said = ("--aspect", "Honesty", "--shown-first", "a", "--model", "judge-7b", "--strict")
    summary = summary_of(path, "--to", tmp_path / "to", *said)
    assert [one["reason"] for one in summary["aspects"]] == ["another aspect: tone"]
    _, judgments = records(tmp_path / "to")
    assert {j.id[0]: (j.comparison_id, j.verdict, j.shown_first, j.model) for j in judgments} == {
        "1": (about.id, "a", "a", "judge-7b"),
        "3": (about.id, "a", "b", "judge-1b"),
        "4": (about.id, "a", None, None),  # of a check, of which a user has nothing to say
    }
    done = here("import", "labels", path, "--to", tmp_path / "no", "--aspect", "candour")
    assert "accepted: --aspect with one of the file's: honesty, tone" in done.stderr


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_exported_texts_stay_as_people_judged_them(tmp_path: Path, form: str):
    path, about = exported(tmp_path, form)
    done = here("import", "labels", path, "--to", tmp_path / "to", "--html", "text", "--quotes", "drop")
    assert done.returncode == 0, done.stderr
    assert "the texts of 1 pair that Publius exported stay as they are" in " ".join(done.stderr.split())
    comparisons, judgments = records(tmp_path / "to")
    assert comparisons == [about]
    assert {j.id[0]: j.verdict for j in judgments} == {"1": "a", "2": "b", "3": "a", "4": "a"}
    assert "have HTML" not in here("import", "labels", path, "--to", tmp_path / "as-it-is").stderr


def test_a_new_vote_on_exported_records_is_for_the_answer_that_was_chosen(tmp_path: Path):
    path, about = exported(tmp_path, "argilla")
    (record,) = json.loads(path.read_text())
    added = {"value": "response_a", "user_id": "new", "status": "submitted"}
    record["responses"]["preference"] = [added]
    path.write_text(json.dumps([record]))
    summary_of(path, "--to", tmp_path / "to", "--html", "text")
    (vote,) = (j for j in records(tmp_path / "to")[1] if j.annotator == "new")
    assert (vote.comparison_id, vote.verdict) == (about.id, "a")


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_tags_from_a_file_are_those_of_exported_comparisons(tmp_path: Path, form: str):
    path, about = exported(tmp_path, form)
    (tmp_path / "prompts.csv").write_text('prompt,tags\n"Name a <b>bird</b>.",animals\n')
    summary_of(path, "--to", tmp_path / "to", "--prompts", tmp_path / "prompts.csv")
    ((found,), _) = records(tmp_path / "to")
    assert (found.id, found.prompt.tags) == (about.id, ("animals",))
    assert found.has_own_id()


def test_tags_that_would_change_an_exported_id_are_refused(tmp_path: Path):
    path, _ = exported(tmp_path, "icai", Prompt.of("Name a bird.").repeated(1))
    (tmp_path / "prompts.csv").write_text("prompt,tags\nName a bird.,animals\n")
    asked = ("--prompts", tmp_path / "prompts.csv")
    (line,) = mistakes(here("import", "labels", path, "--to", tmp_path / "to", *asked))
    assert "the prompt of row 1 repeats another of its run, and its id depends on its tags" in line
    assert not (tmp_path / "to").exists()
