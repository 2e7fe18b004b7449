"""Round trips through labeling tools' formats: the same comparisons and judgments, ids included."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.records import Candidate, Comparison, Judgment, Message, OrderLogits, Prompt
from core.store.record_store import RecordStore
from publius.labels.exporting import LABEL_FORMS, export_labels
from publius.labels.importing import LabelsRequest, import_labels
from publius.sources.rows import DataSource

Records = tuple[dict[str, Comparison], dict[str, Judgment]]
HOSTILE = "</textarea><script>x</script> \u202e \U0001f9ea {{ user }} \n\nHuman: not a turn"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def talk(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts))  # type: ignore[arg-type]


def comparisons() -> list[Comparison]:
    system = Message(role="system", content="Be brief.")
    prompts = [
        Prompt.of((user("How do I get ink out of a shirt?"),), ("laundry", "home"), "own", "preference"),
        Prompt.of((system, *talk("Hello.", "Hello!", "Where do swifts sleep?"))),
        Prompt.of((user("A transcript?\n\nHuman: yes\n\nAssistant: no"),)),
        Prompt.of((user("Nobody judged this."),), split="test"),
        Prompt.of((user(HOSTILE),)),
    ]
    return [
        Comparison.of(
            prompt,
            Candidate(f"One way. {HOSTILE}", "base", finished=False),
            ("Another way.", "sft"),
            group=f"g{n}",
        )
        for n, prompt in enumerate(prompts)
    ]


def judgment(number: int, comparison: Comparison, **fields: Any) -> Judgment:
    fields = {"labeler": "crowd", "verdict": "a", "p_a": 1.0, "annotator": "ann-1"} | fields
    return Judgment(id=f"{number:016x}", comparison_id=comparison.id, **fields)


def judgments(pairs: list[Comparison]) -> list[Judgment]:
    first, second, third, _, fifth = pairs
    moment = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)
    return [
        judgment(1, first, shown_first="b", comment=f"Short.\n{HOSTILE}", duration_s=12.25, created=moment),
        judgment(2, first, annotator="ann-2", verdict="b", p_a=0.0, confidence=0.7, shown_first="a"),
        judgment(3, first, annotator="ann-3", verdict="tie", p_a=0.5, weight=0.25, group="r-1"),
        judgment(4, first, annotator="ann-4", verdict="both_bad", p_a=None),
        judgment(5, first, annotator="ann-5", verdict="skip", p_a=None, comment="No idea."),
        judgment(6, first, dimension="noteworthy", verdict="b", p_a=0.0, margin=-2.0),
        judgment(7, first, verdict="b", p_a=0.0, supersedes=f"{1:016x}", created=datetime(2026, 3, 2)),
        judgment(8, first, annotator="ann-2", verdict="a", comment="I changed my mind."),
        judgment(9, second, annotator=None, verdict="a", p_a=0.85),
        judgment(
            10,
            second,
            annotator=None,
            labeler="ai",
            model="judge",
            principle_id="be-kind",
            p_a=0.62,
            orders=OrderLogits(a_first=4.5, b_first=-3.5),
            answer_mass=0.99,
        ),
        judgment(11, second, annotator=None, labeler="ai", verdict="unparsed", p_a=None, raw="'Both'"),
        judgment(12, second, annotator=f"{second.id}:1", labeler="helpsteer3", margin=3.0),
        judgment(13, third, annotator="ann-1", verdict="unparsed", p_a=None, raw="?"),
        judgment(14, fifth, annotator=HOSTILE, verdict="tie", p_a=0.5, dimension=HOSTILE),
    ]


def stored(folder: Path) -> Records:
    with RecordStore(folder, writable=False) as store:
        found = store.open("comparisons.jsonl", Comparison, "prompt.id")
        said = store.open("judgments.jsonl", Judgment, "comparison_id")
        return {c.id: c for c in found}, {j.id: j for j in said}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs = comparisons()
    with RecordStore(tmp_path / "labels") as store:
        for comparison in pairs:
            store.open("comparisons.jsonl", Comparison, "prompt.id").append(comparison)
        for said in judgments(pairs):
            store.open("judgments.jsonl", Judgment, "comparison_id").append(said)
    return tmp_path / "labels"


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_everything_comes_back_as_it_was(form: str, folder: Path, tmp_path: Path):
    file, back = tmp_path / "out.json", tmp_path / "back"
    written = export_labels(folder, form, file)
    assert (written.comparisons, written.judgments) == (5, 14)
    summary = import_labels(LabelsRequest(DataSource(str(file)), back, strict=True)).as_json()
    assert stored(back) == stored(folder)
    assert summary["format"].startswith(form)
    assert summary["dropped"] == 0


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_one_line_holds_one_comparison(form: str, folder: Path, tmp_path: Path):
    export_labels(folder, form, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["comparisons"] if form == "icai" else found) == 5


def edited(
    folder: Path, tmp_path: Path, form: str, edit: Callable[[Any], None]
) -> tuple[dict[str, Any], Records]:
    """The summary and records after somebody edited the exported document."""
    file = tmp_path / "out.json"
    export_labels(folder, form, file)
    document = json.loads(file.read_text())
    for entry in document["comparisons"] if form == "icai" else document:
        edit(entry)
    file.write_text(json.dumps(document))
    summary = import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "back", labeler="tool"))
    return summary.as_json(), stored(tmp_path / "back")


def test_an_answer_changed_in_label_studio_is_a_new_judgment(folder: Path, tmp_path: Path):
    def edit(task: Any) -> None:
        for annotation in task["annotations"]:
            if annotation["completed_by"]["email"] == "ann-3":
                annotation["result"][0] |= {"type": "pairwise", "value": {"selected": "left"}}

    _, (_, found) = edited(folder, tmp_path, "label-studio", edit)
    before = stored(folder)[1]
    assert before.keys() <= found.keys()
    (new,) = [said for id, said in found.items() if id not in before]
    assert (new.verdict, new.p_a, new.supersedes) == ("a", 1.0, f"{3:016x}")
    assert (new.annotator, new.labeler, new.weight, new.group) == ("ann-3", "crowd", 0.25, "r-1")


def test_a_comment_changed_in_label_studio_is_not_lost(folder: Path, tmp_path: Path):
    def edit(task: Any) -> None:
        for annotation in task["annotations"]:
            if annotation["completed_by"]["email"] == "ann-5":
                annotation["result"][1]["value"]["text"] = ["I do have an idea."]

    _, (_, found) = edited(folder, tmp_path, "label-studio", edit)
    (new,) = [said for id, said in found.items() if id not in stored(folder)[1]]
    assert (new.annotator, new.verdict, new.comment) == ("ann-5", "skip", "I do have an idea.")


def test_a_new_response_in_argilla_joins_the_old_ones(folder: Path, tmp_path: Path):
    def edit(record: Any) -> None:
        if record["responses"].get("preference"):
            new = {"value": "response_b", "user_id": "new-user", "status": "submitted"}
            record["responses"]["preference"].append(new)

    _, (_, found) = edited(folder, tmp_path, "argilla", edit)
    before = stored(folder)[1]
    assert before.keys() <= found.keys()
    new = [said for id, said in found.items() if id not in before]
    assert {(said.annotator, said.verdict) for said in new} == {("new-user", "b")}


def test_an_annotation_that_was_deleted_is_gone_and_counted(folder: Path, tmp_path: Path):
    def edit(task: Any) -> None:
        task["annotations"] = [a for a in task["annotations"] if a["completed_by"]["email"] != "ann-4"]

    summary, (_, found) = edited(folder, tmp_path, "label-studio", edit)
    assert f"{4:016x}" not in found
    (entry,) = summary["left_out"]
    assert (entry["reason"], entry["count"]) == ("an exported judgment was deleted in the tool", 1)


@pytest.mark.parametrize(("form", "keep"), [("label-studio", "ann-2"), ("icai", "nobody")])
def test_what_a_deleted_judgment_took_back_does_not_stand_again(
    form: str, keep: str, folder: Path, tmp_path: Path
):
    def edit(entry: Any) -> None:
        if form == "icai":
            entry["annotations"] = {}
        else:
            entry["annotations"] = [a for a in entry["annotations"] if a["completed_by"]["email"] == keep]

    _, (_, found) = edited(folder, tmp_path, form, edit)
    assert not {f"{1:016x}", f"{7:016x}"} & found.keys()


def test_an_undo_is_carried_along_and_not_shown_as_a_skip(folder: Path, tmp_path: Path):
    undone = judgment(15, comparisons()[3], shown_first="a", duration_s=2.0)
    undo = undone.model_copy(update={"id": f"{16:016x}", "verdict": "skip", "p_a": None})
    undo = undo.model_copy(update={"supersedes": undone.id, "duration_s": None})
    with RecordStore(folder) as store:
        said = store.open("judgments.jsonl", Judgment, "comparison_id")
        assert said.append(undone)
        assert said.append(undo)

    def edit(task: Any) -> None:
        assert task["data"]["prompt"] != "Nobody judged this." or task["annotations"] == []

    _, (_, found) = edited(folder, tmp_path, "label-studio", edit)
    assert (found[undone.id], found[undo.id]) == (undone, undo)


def test_edited_answers_are_another_comparison(folder: Path, tmp_path: Path):
    def edit(entry: Any) -> None:
        entry["response_a"]["text"] += " Edited."

    _, (pairs, found) = edited(folder, tmp_path, "icai", edit)
    assert not pairs.keys() & stored(folder)[0].keys()
    assert found


@pytest.mark.parametrize("packed", ['{"comparison": {}}', "[]", "{", '{"comparison": 1, "judgments": 2}'])
def test_a_damaged_record_is_dropped_with_its_reason(packed: str, folder: Path, tmp_path: Path):
    def edit(task: Any) -> None:
        if task["id"] == 2:
            task["data"]["publius"] = packed

    summary, _ = edited(folder, tmp_path, "label-studio", edit)
    assert summary["dropped"] == 1
    assert "exported record is" in summary["dropped_for"][0]["reason"]
