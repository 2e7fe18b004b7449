"""Talks: each variant remembers its own answers; turns become prompts, examples, comparisons and ratings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.text.yaml_file import parse_yaml
from publius.studio.bench.workbench import Workbench
from publius.studio.files import ProjectFiles
from publius.studio.project import StudioProject
from publius.studio.ratings.desk import RatingDesk
from publius.studio.talk.room import TalkRoom
from tests.labelers.page.collections import stored
from tests.publius.projects import Recorder, write_project
from tests.publius.studio.opened import Shown


class OnTalk:
    """A talk on a project with a scripted model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recorder, self.shown = folder, Recorder(), Shown()
        self.project = StudioProject.of(folder)
        self.bench = Workbench(self.project, self.shown, self.recorder)
        self.desk = RatingDesk(folder, folder / ".publius" / "studio" / "queue")
        files = ProjectFiles(self.project)
        self.room = TalkRoom(self.project, files, self.bench, self.desk, self.shown)

    def ask(self, question: str, *variants: str) -> dict[str, Any]:
        """Ask a question and return the turn once all have answered."""
        identity = self.room.ask(question, variants or ("base", "prompted"))
        talk = self.shown.wait("talk", lambda shown: not shown["busy"] and is_answered(shown, identity))
        return next(turn for turn in talk["talk"]["turns"] if turn["id"] == identity)

    def close(self) -> None:
        self.bench.close()
        self.desk.close()


def is_answered(shown: dict[str, Any], identity: str) -> bool:
    turns = {turn["id"]: turn for turn in shown["talk"]["turns"]}
    return identity in turns and all(one["text"] is not None for one in turns[identity]["answers"].values())


@pytest.fixture
def on_talk(tmp_path: Path) -> Iterator[OnTalk]:
    write_project(tmp_path)
    opened = OnTalk(tmp_path)
    yield opened
    opened.close()


def test_each_variant_sees_its_own_history_and_prompted_the_constitution(on_talk: OnTalk):
    first = on_talk.ask("Who are you?")
    on_talk.ask("And then?")
    texts = on_talk.recorder.texts("chat")
    assert len(texts) == 4
    for name in ("base", "prompted"):
        (asked,) = (text for text in texts if "And then?" in text and first["answers"][name]["text"] in text)
        assert ("The reply uses plain words." in asked) == (name == "prompted")


def test_texts_of_the_scripted_engine_are_called_made_up(on_talk: OnTalk):
    said = "made up (scripted engine): no model wrote or judged this"
    assert on_talk.room.shown()["made_up"] == said
    on_talk.ask("Who are you?", "base")
    on_talk.shown.wait("engine", lambda shown: shown["notes"] == [said])


def test_answers_are_published_while_they_are_written_and_stored_whole(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?", "base")
    written = on_talk.shown.topics["writing"]
    assert written["turn"] == turn["id"]
    text, part = turn["answers"]["base"]["text"], written["answers"]["base"]
    assert text.startswith(part)
    assert 0 < len(part) < len(text)


def test_turn_becomes_a_pinned_prompt(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?")
    on_talk.room.keep_prompt(turn["id"], "base")
    assert json.loads((on_talk.folder / "bench.jsonl").read_text()) == {"prompt": "Who are you?"}
    second = on_talk.ask("And then?")
    on_talk.room.keep_prompt(second["id"], "base")
    row = json.loads((on_talk.folder / "bench.jsonl").read_text().splitlines()[1])
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user"]


def test_turn_becomes_an_example_of_a_principle(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?")
    constitution = on_talk.project.constitution
    edited = on_talk.room.keep_example(turn["id"], "kind", "prompted", "base", constitution.read_text())
    (kind,) = (one for one in parse_yaml(edited, constitution).value["principles"] if one["id"] == "kind")
    answers = {name: answer["text"] for name, answer in turn["answers"].items()}
    assert kind["examples"] == [
        {"prompt": "Who are you?", "good": answers["prompted"], "bad": answers["base"]}
    ]
    later = on_talk.ask("And then?")
    with pytest.raises(DataError, match="one question"):
        on_talk.room.keep_example(later["id"], "kind", "prompted", "base", constitution.read_text())


def test_turn_becomes_a_comparison_to_rate(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?")
    assert on_talk.room.keep_comparison(turn["id"], "base", "prompted") == 1
    assert on_talk.room.keep_comparison(turn["id"], "prompted", "base") == 0
    task = on_talk.desk.view("me")["task"]
    assert set(task["answers"]) == {answer["text"] for answer in turn["answers"].values()}
    with pytest.raises(DataError, match="no answer"):
        on_talk.room.keep_comparison(turn["id"], "base", "dpo")


@pytest.mark.parametrize(
    ("base", "prompted", "verdict"),
    [("up", "down", "base"), ("down", "up", "prompted"), ("up", "up", "tie"), ("down", "down", "both_bad")],
)
def test_two_thumbs_are_a_rating(on_talk: OnTalk, base: Any, prompted: Any, verdict: str):
    turn = on_talk.ask("Who are you?")
    on_talk.room.thumb(turn["id"], "base", base, "me")
    assert stored_ratings(on_talk) == []
    on_talk.room.thumb(turn["id"], "prompted", prompted, "me")
    on_talk.room.thumb(turn["id"], "prompted", prompted, "me")  # the same request again
    (judgment,) = stored_ratings(on_talk)
    assert (judgment.labeler, judgment.annotator) == ("human", "me")
    if verdict in ("tie", "both_bad"):
        assert judgment.verdict == verdict
    else:
        (line,) = (on_talk.folder / "ratings" / "comparisons.jsonl").read_text().splitlines()
        assert json.loads(line)[f"origin_{judgment.verdict}"] == verdict


def test_thumb_that_is_taken_back_takes_the_rating_back(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?")
    for variant, thumb in (("base", "up"), ("prompted", "down"), ("prompted", None), ("prompted", "up")):
        on_talk.room.thumb(turn["id"], variant, thumb, "me")
    verdicts = [judgment.verdict for judgment in stored_ratings(on_talk)]
    assert verdicts[1:] == ["skip", "tie"]
    superseded = [judgment.supersedes for judgment in stored_ratings(on_talk)]
    assert superseded[1:] == [judgment.id for judgment in stored_ratings(on_talk)][:2]


def stored_ratings(on_talk: OnTalk) -> list[Any]:
    folder = on_talk.folder / "ratings"
    return stored(folder) if (folder / "judgments.jsonl").exists() else []


def test_talk_is_there_after_a_kill_and_open_answers_are_ended(on_talk: OnTalk):
    turn = on_talk.ask("Who are you?")
    on_talk.room.thumb(turn["id"], "base", "up", "me")
    file = on_talk.folder / ".publius" / "studio" / "talk.json"
    content = json.loads(file.read_text())
    content["turns"].append({**turn, "id": f"{content['id']}-1", "answers": {"base": {"text": None}}})
    file.write_text(json.dumps(content))
    again = TalkRoom(
        on_talk.project, ProjectFiles(on_talk.project), on_talk.bench, on_talk.desk, on_talk.shown
    )
    first, second = again.shown()["talk"]["turns"]
    assert first["answers"]["base"]["thumb"] == "up"
    assert first["answers"]["base"]["text"] == turn["answers"]["base"]["text"]
    assert "stopped" in second["answers"]["base"]["problem"]


@pytest.mark.parametrize("variants", [(), ("dpo",), ("base", "x/../../y/dpo"), ("base",) * 1 + ("sft",)])
def test_unknown_variants_are_refused(on_talk: OnTalk, variants: tuple[str, ...]):
    with pytest.raises(DataError):
        on_talk.room.ask("Who are you?", variants)
    assert on_talk.room.shown()["talk"]["turns"] == []
