"""The bench asks for what an edit touches, and nothing else; checks follow without any model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from constitution.loader import read_constitution
from core.errors import EngineError
from core.records import Prompt
from engines.config import EngineConfig, ModelConfig
from engines.scripted import ScriptedEngine
from prompts.user_templates import user_templates
from publius.config.run_file import load_run_config
from publius.studio.bench.bench import Bench
from publius.studio.bench.workbench import Workbench
from publius.studio.project import StudioProject
from tests.publius.projects import CONSTITUTION, Recorder, write_project
from tests.publius.studio.opened import Shown

PROMPTS = 8


class OnBench:
    """A bench on a project with pinned prompts and a scripted model."""

    def __init__(self, folder: Path, make: Any = None) -> None:
        self.folder, self.recorder, self.shown = folder, Recorder(), Shown()
        self.project = StudioProject.of(folder)
        self.bench = Workbench(self.project, self.shown, make or self.recorder)
        self.edit(self.project.constitution.read_text())

    def open(self) -> dict[str, Any]:
        self.bench.do(Bench.open)
        return self.settled()

    def edit(self, text: str) -> dict[str, Any]:
        """Edit the constitution, and return what is shown once nothing is under way."""
        loaded = read_constitution(self.project.constitution, {self.project.constitution: text})
        self.bench.edit(loaded)
        return self.shown.wait("bench", lambda bench: bench["digest"] == loaded.constitution.digest)

    def settled(self) -> dict[str, Any]:
        return self.shown.settled()

    def asked(self) -> int:
        return len(self.recorder.requests)


def write_bench(folder: Path) -> Path:
    write_project(folder)
    rows = [{"prompt": f"What is {number} plus {number}?"} for number in range(PROMPTS)]
    (folder / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def on_bench(tmp_path: Path) -> Iterator[OnBench]:
    opened = OnBench(write_bench(tmp_path))
    yield opened
    opened.bench.close()


def labels_of(bench: dict[str, Any], principle: str) -> list[dict[str, Any]]:
    return [label for card in bench["cards"] for label in card["labels"] if label["principle"] == principle]


def test_pinned_prompts_are_written_and_labelled(on_bench: OnBench):
    shown = on_bench.open()
    assert len(shown["cards"]) == PROMPTS
    assert all(card["pinned"] and card["draft"] and card["revision"] for card in shown["cards"])
    for card in shown["cards"]:
        judged = [label for label in card["labels"] if label["labeler"] == "ai"]
        assert len(judged) == 2  # label.principles
        assert all(label["p"] is not None and len(label["orders"]) == 2 for label in judged)
        assert [check["principle"] for check in card["checks"]] == ["short"]
        assert 0 < card["overall"]["p"] < 1
    assert not any(label["flipped"] for card in shown["cards"] for label in card["labels"])


def test_nothing_is_asked_before_a_page_is_open(on_bench: OnBench):
    assert on_bench.recorder.engines == []
    assert on_bench.shown.topics["engine"]["state"] == "idle"


def test_edited_check_flips_labels_without_a_request(on_bench: OnBench):
    on_bench.open()
    asked = on_bench.asked()
    shown = on_bench.edit(CONSTITUTION.replace("value: 12", "value: 1000"))
    for card in shown["cards"]:
        check, counts = card["checks"][0], [len(card[part].split()) for part in ("draft", "revision")]
        assert (check["draft"], check["last"]) == (None, None)
        assert check["before"] == [count <= 12 for count in counts]
        assert check["flipped"] == (max(counts) > 12)
    assert any(card["checks"][0]["flipped"] for card in shown["cards"])
    on_bench.settled()
    labels = [request for request in on_bench.recorder.requests[asked:] if request.purpose == "label"]
    assert labels == []
    assert on_bench.settled()["asked_since_edit"].get("label", 0) == 0


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("regex, value: 'z{9}'", "nothing in it fits the rule's pattern"),
        (r"not_regex, value: '\w'", 'it has "'),
        (r"not_regex, value: '\s'", "something in it fits the rule's pattern"),
    ],
)
def test_what_a_pattern_found_is_shown_and_never_the_pattern(check: str, said: str, on_bench: OnBench):
    on_bench.open()
    shown = on_bench.edit(CONSTITUTION.replace("max_words, value: 12", check))
    found = {card["checks"][0]["draft"] for card in shown["cards"]}
    assert all(said in one and check.partition("'")[2][:-1] not in one for one in found)


def test_check_is_shown_before_a_model_is_loaded(tmp_path: Path):
    with_answers = OnBench(write_bench(tmp_path))
    with_answers.open()
    with_answers.bench.close()
    again = OnBench(tmp_path)
    try:
        shown = again.edit(CONSTITUTION.replace("value: 12", "value: 1000"))
        assert all(card["checks"][0]["last"] is None for card in shown["cards"])
        assert all(label["p"] is not None for label in labels_of(shown, "plain"))
        assert again.recorder.engines == []
    finally:
        again.bench.close()


def test_reworded_principle_asks_both_orders_of_its_own_pairs_and_nothing_else(on_bench: OnBench):
    before = on_bench.open()
    asked = on_bench.asked()
    pairs = len(labels_of(before, "kind"))
    assert 0 < pairs <= PROMPTS
    on_bench.edit(CONSTITUTION.replace("kind to the person", "curt with the person"))
    after = on_bench.settled()
    new = on_bench.recorder.requests[asked:]
    assert [request.purpose for request in new] == ["label"] * (2 * pairs)
    texts = ["\n".join(turn.text for turn in request.turns) for request in new]
    assert all("curt with the person" in text for text in texts)
    assert after["asked_since_edit"] == {"label": 2 * pairs}
    moved = labels_of(after, "kind")
    assert all(label["p"] is not None and label["before"] is not None for label in moved)
    for other in ("plain", "honest"):
        assert [label["p"] for label in labels_of(after, other)] == [
            label["p"] for label in labels_of(before, other)
        ]


def test_edit_that_is_taken_back_asks_nothing(on_bench: OnBench):
    on_bench.open()
    on_bench.edit(CONSTITUTION.replace("kind to the person", "curt with the person"))
    on_bench.settled()
    asked = on_bench.asked()
    on_bench.edit(CONSTITUTION)
    back = on_bench.settled()
    assert on_bench.asked() == asked
    assert not any(label["flipped"] for card in back["cards"] for label in card["labels"])


def test_flip_is_a_probability_that_crossed_one_half(on_bench: OnBench):
    on_bench.open()
    on_bench.edit(CONSTITUTION.replace("kind to the person", "curt with the person"))
    after = on_bench.settled()
    labels = labels_of(after, "kind")
    assert [label["flipped"] for label in labels] == [
        (label["before"] - 0.5) * (label["p"] - 0.5) < 0 for label in labels
    ]


def test_answers_whose_writing_the_edit_touches_are_marked_and_rewritten_on_demand(on_bench: OnBench):
    on_bench.open()
    on_bench.edit(CONSTITUTION.replace("kind to the person", "curt with the person"))
    marked = on_bench.settled()
    stale = [card["id"] for card in marked["cards"] if card["stale"]]
    drawn = [
        card["id"]
        for card in marked["cards"]
        if any("kind" in round_["principles"] for round_ in card["rounds"])
    ]
    assert stale == drawn != []
    asked = on_bench.asked()
    on_bench.bench.do(lambda bench: bench.rewrite([]))
    on_bench.shown.wait("bench", lambda bench: not any(card["stale"] for card in bench["cards"]))
    on_bench.settled()
    purposes = {request.purpose for request in on_bench.recorder.requests[asked:]}
    assert "draft" not in purposes
    assert purposes <= {"critique", "revision", "label"}


def test_baseline_can_be_moved(on_bench: OnBench):
    on_bench.open()
    edited = on_bench.edit(CONSTITUTION.replace("value: 12", "value: 1000"))
    assert edited["before"] != edited["digest"]
    on_bench.bench.do(Bench.mark)
    marked = on_bench.shown.wait("bench", lambda bench: bench["before"] == bench["digest"])
    assert not any(check["flipped"] for card in marked["cards"] for check in card["checks"])


def test_typed_and_sampled_prompts_can_be_pinned(on_bench: OnBench):
    from core.records import Prompt

    on_bench.open()
    identity = on_bench.bench.do(lambda bench: bench.add(Prompt.of("Why is the sky blue?"), "typed"))
    on_bench.shown.wait("bench", lambda bench: len(bench["cards"]) == PROMPTS + 1)
    on_bench.bench.do(lambda bench: bench.pin(identity, True))
    rows = [json.loads(line) for line in (on_bench.folder / "bench.jsonl").read_text().splitlines()]
    assert rows[-1] == {"prompt": "Why is the sky blue?"}
    assert on_bench.bench.do(lambda bench: bench.sample(2)) == 2
    shown = on_bench.shown.wait("bench", lambda bench: len(bench["cards"]) == PROMPTS + 3)
    assert [card["origin"] for card in shown["cards"][-2:]] == ["sampled", "sampled"]
    on_bench.bench.do(lambda bench: bench.remove(identity))
    assert len((on_bench.folder / "bench.jsonl").read_text().splitlines()) == PROMPTS


def test_project_without_pinned_prompts_begins_with_a_few_of_its_own(tmp_path: Path):
    write_project(tmp_path)
    opened = OnBench(tmp_path)
    try:
        shown = opened.open()
        assert [card["origin"] for card in shown["cards"]] == ["sampled"] * 4
    finally:
        opened.bench.close()


class HeldBack:
    """Scripted engines that answer once they are let go."""

    def __init__(self) -> None:
        import threading

        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        held = self

        class Held(ScriptedEngine):
            async def generate(self, request: Any) -> Any:
                import asyncio

                held.begun.set()
                await asyncio.to_thread(held.let_go.wait)
                return await super().generate(request)

        return Held(model=model.id)


def test_stop_ends_what_is_under_way_and_work_goes_on(tmp_path: Path):
    held = HeldBack()
    opened = OnBench(write_bench(tmp_path), held)
    try:
        opened.bench.do(Bench.open)
        assert held.begun.wait(60)
        opened.bench.do(Bench.stop)
        stopped = opened.shown.wait("bench", lambda bench: bench["stopped"] and not bench["busy"])
        assert {card["state"] for card in stopped["cards"]} == {"stopped"}
        held.let_go.set()
        opened.bench.do(Bench.work)
        assert all(card["revision"] for card in opened.settled()["cards"])
    finally:
        held.let_go.set()
        opened.bench.close()


def test_model_that_cannot_be_used_is_said_on_the_page(tmp_path: Path):
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        raise EngineError("no such model", where=model.id)

    opened = OnBench(write_bench(tmp_path), make)
    try:
        opened.bench.do(Bench.open)
        engine = opened.shown.wait("engine", lambda engine: engine["state"] == "failed")
        assert "no such model" in engine["problem"]
        shown = opened.settled()
        assert {card["state"] for card in shown["cards"]} == {"failed"}
    finally:
        opened.bench.close()


def test_settings_of_an_edited_run_file_are_used(on_bench: OnBench):
    on_bench.open()
    run_file = on_bench.folder / "run.yaml"
    run_file.write_text(run_file.read_text().replace("principles: 2", "principles: 3"))
    on_bench.bench.configure(load_run_config(run_file))
    on_bench.shown.wait(
        "bench", lambda bench: all(len(card["labels"]) == 4 for card in bench["cards"]) and not bench["busy"]
    )


def test_removed_pinned_file_and_damaged_state_are_no_obstacle(tmp_path: Path):
    write_bench(tmp_path)
    (tmp_path / ".publius" / "studio").mkdir(parents=True)
    (tmp_path / ".publius" / "studio" / "bench.json").write_text("{damaged")
    (tmp_path / "bench.jsonl").unlink()
    opened = OnBench(tmp_path)
    try:
        assert len(opened.open()["cards"]) == 4
    finally:
        opened.bench.close()


def test_mistake_in_the_run_file_is_said_and_mended_on_the_page(tmp_path: Path):
    run_file = write_bench(tmp_path) / "run.yaml"
    right = run_file.read_text()
    run_file.write_text(right.replace("rounds: 2", "rounds: many"))
    opened = OnBench(tmp_path)
    try:
        assert "run.yaml:6" in opened.shown.wait("bench", lambda bench: True)["problem"]
        run_file.write_text(right)
        opened.bench.configure(load_run_config(run_file))
        opened.shown.wait("bench", lambda bench: bench["problem"] == "")
        assert all(len(card["rounds"]) == 2 for card in opened.open()["cards"])
    finally:
        opened.bench.close()


def test_unfinished_principle_waits_for_its_end(on_bench: OnBench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("publius.studio.bench.bench.UNFINISHED_S", 3600.0)
    before = on_bench.open()
    asked, pairs = on_bench.asked(), len(labels_of(before, "kind"))
    path = on_bench.project.constitution
    text = CONSTITUTION.replace("kind to the person who asks.", "kin")
    loaded = read_constitution(path, {path: text})
    on_bench.bench.edit(loaded, unfinished="kind")
    shown = on_bench.shown.wait("bench", lambda bench: bench["digest"] == loaded.constitution.digest)
    assert shown["unfinished"] == "kind"
    assert all(label["pending"] for label in labels_of(shown, "kind"))
    on_bench.bench.edit(loaded)  # the cursor has left the line
    done = on_bench.shown.wait(
        "bench",
        lambda bench: not bench["busy"] and not any(one["pending"] for one in labels_of(bench, "kind")),
    )
    assert done["unfinished"] is None
    assert on_bench.asked() == asked + 2 * pairs


def test_unfinished_principle_is_asked_about_after_a_pause(
    on_bench: OnBench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("publius.studio.bench.bench.UNFINISHED_S", 0.05)
    before = on_bench.open()
    path = on_bench.project.constitution
    text = CONSTITUTION.replace("kind to the person who asks.", "kin")
    loaded = read_constitution(path, {path: text})
    on_bench.bench.edit(loaded, unfinished="kind")
    digest = loaded.constitution.digest
    done = on_bench.shown.wait("bench", lambda bench: bench["digest"] == digest and not bench["busy"])
    assert done["unfinished"] is None
    assert done["asked_since_edit"] == {"label": 2 * len(labels_of(before, "kind"))}


def test_unfinished_principle_of_two_words_waits_however_long(
    on_bench: OnBench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("publius.studio.bench.bench.UNFINISHED_S", 0.0)
    before = on_bench.open()
    asked, pairs = on_bench.asked(), len(labels_of(before, "kind"))
    path = on_bench.project.constitution
    loaded = read_constitution(
        path, {path: CONSTITUTION.replace("The reply is kind to the person who asks.", "Be ki")}
    )
    on_bench.bench.edit(loaded, unfinished="kind")
    on_bench.bench.submit(lambda engines: asyncio.sleep(0.3)).result()
    assert on_bench.asked() == asked
    on_bench.bench.edit(loaded)
    on_bench.shown.wait(
        "bench",
        lambda bench: not bench["busy"] and not any(one["pending"] for one in labels_of(bench, "kind")),
    )
    assert on_bench.asked() == asked + 2 * pairs


def test_texts_are_shown_while_they_are_written(on_bench: OnBench):
    told: list[tuple[str, str | None]] = []

    async def written(engines: Any) -> None:
        from publius.stages.critique import loop_for
        from publius.studio.bench.writing import write_answers

        config = load_run_config(on_bench.folder / "run.yaml")
        constitution = read_constitution(on_bench.project.constitution).constitution
        loop = loop_for(config, constitution, user_templates(None), engines)
        await write_answers(loop, Prompt.of("Why?"), lambda purpose, text: told.append((purpose, text)))

    on_bench.bench.submit(written).result()
    drafts = [text for purpose, text in told if purpose == "draft"]
    assert drafts[0] is None
    assert len(drafts) == 3
    assert (drafts[2] or "").startswith(drafts[1] or "none")
