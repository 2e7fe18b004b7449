"""Which prompts are trained on and which are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle, Scope
from core.errors import DataError
from publius.authoring.steering.prompts import demo_prompts, found_prompts, given_prompts

TOPICS = ("bread", "rain", "bees", "trains", "chess", "glass", "rivers", "clocks")
ASKED = (
    "How is {} made or begun",
    "Who knows most about {}",
    "When did {} first appear",
    "Why do people like {}",
    "Where is {} found today",
    "Which book is about {}",
    "What does {} cost a year",
    "Explain {} to a child",
)
QUESTIONS = [question.format(topic) + "?" for topic in TOPICS for question in ASKED]


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_demo_has_96_prompts_to_train_on_and_48_held_out():
    demo = demo_prompts()
    assert (len(demo.train), len(demo.test), demo.origin) == (96, 48, "the demo's prompts")


def test_a_split_column_is_kept(tmp_path: Path):
    splits = ["train"] * 20 + ["preference"] * 10 + ["test"] * 10
    rows = [{"prompt": q, "split": s} for q, s in zip(QUESTIONS, splits, strict=False)]
    found = given_prompts(write(tmp_path / "p.jsonl", rows))
    assert [p.messages[-1].content for p in found.test] == QUESTIONS[30:40]
    assert len(found.train) == 30


def test_a_share_is_held_out_where_no_row_is_a_test_prompt(tmp_path: Path):
    plain = given_prompts(write(tmp_path / "p.jsonl", [{"prompt": q} for q in QUESTIONS]))
    marked = given_prompts(write(tmp_path / "q.jsonl", [{"prompt": q, "split": "train"} for q in QUESTIONS]))
    assert [p.id for p in plain.test] == [p.id for p in marked.test]
    assert 8 <= len(plain.test) <= 32
    assert not {p.id for p in plain.test} & {p.id for p in plain.train}


def test_any_form_of_prompts_is_read(tmp_path: Path):
    (tmp_path / "p.txt").write_text("\n".join(QUESTIONS))
    assert len(given_prompts(tmp_path / "p.txt").train) >= 24


def test_too_few_prompts_are_refused_with_the_numbers(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        given_prompts(write(tmp_path / "p.jsonl", [{"prompt": q} for q in QUESTIONS[:12]]))
    (problem,) = caught.value.problems
    assert problem.what.startswith("too few prompts: ")
    assert "at least 24 and 8" in (problem.accepted or "")


def test_written_prompts_are_read_back_with_their_splits(tmp_path: Path):
    demo = demo_prompts().limited(30, 10)
    (tmp_path / "p.jsonl").write_text(demo.lines())
    again = given_prompts(tmp_path / "p.jsonl")
    assert (again.digest, again.train[0].tags) == (demo.digest, demo.train[0].tags)


def scoped(pattern: str) -> Constitution:
    principle = Principle(id="p", text="The reply has code.", applies_to=Scope(pattern=pattern))
    return Constitution(name="scoped", principles=(principle,))


def refuse(number: int, to: Path) -> None:
    raise AssertionError(to)


def test_the_demo_is_used_where_its_prompts_are_in_scope(tmp_path: Path):
    found = found_prompts(load_constitution("plain-and-brief"), "plain-and-brief", "m", tmp_path, refuse)
    assert found.digest == demo_prompts().digest


def test_a_stronger_model_writes_prompts_where_the_demo_does_not_fit(tmp_path: Path):
    written: list[int] = []

    def scribe(number: int, to: Path) -> None:
        written.append(number)
        write(to, [{"prompt": q} for q in QUESTIONS])

    for _ in range(2):  # a second time they are there
        found = found_prompts(scoped("zebra"), "c.yaml", "strong", tmp_path / "steer", scribe)
    assert written == [144]
    assert found.origin == "prompts that strong wrote for the constitution"


def test_the_embedded_model_writes_none(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        found_prompts(scoped("zebra"), "c.yaml", "embedded", tmp_path, refuse)
    (problem,) = caught.value.problems
    assert problem.where == "--prompts"
    assert "at least 32 prompts" in (problem.accepted or "")
