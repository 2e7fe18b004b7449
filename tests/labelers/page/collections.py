"""Small collections for tests of the page: comparisons, tasks and sessions over a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, count
from pathlib import Path
from typing import Any

from core.records import Comparison, Judgment, Message, Prompt
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.session import LEASE_MINUTES, AnnotationPlan, GoldTask, Session
from labelers.page.tasks import Decision, Question, Task, make_tasks, pair_task

QUESTION = Question("Which answer is better?")
_numbers = count()


def prompt(text: str = "What is this pill?") -> Prompt:
    return Prompt.of((Message(role="user", content=text),))


def comparison(number: int = 0, good: str = "Ask a doctor.", bad: str = "Take it.") -> Comparison:
    return Comparison.of(prompt(f"What is pill {number}?"), (good, "revision:2"), (bad, "draft"))


def group_of(*answers: str, text: str = "What is this pill?") -> list[Comparison]:
    """All comparisons among answers to one prompt."""
    candidates = [(answer, f"sample:{k}") for k, answer in enumerate(answers)]
    asked = prompt(text)
    return [Comparison.of(asked, one, two, group=asked.id) for one, two in combinations(candidates, 2)]


def ranking_task(*answers: str) -> Task:
    (task,) = make_tasks(group_of(*answers), rank=True)
    return task


def gold_task(number: int) -> GoldTask:
    asked = comparison(1000 + number, good="I do not know.", bad="It is harmless.")
    return GoldTask(pair_task(asked), "a" if asked.response_a == "I do not know." else "b")


def decision(task: str | Task, verdict: str = "first", **fields: Any) -> Decision:
    """A decision with a request name that no other has, unless one is given."""
    name = task if isinstance(task, str) else task.id
    given = {"request": f"request-{next(_numbers):04d}", "task": name, "verdict": verdict, **fields}
    return Decision.model_validate(given)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 0.001  # no two decisions are made at once
        return self.now


@contextmanager
def session(
    folder: Path, tasks: int | list[Task] = 3, clock: Clock | None = None, **plan: Any
) -> Iterator[Session]:
    """An open session; opening the same folder again is a restart."""
    asked = [pair_task(comparison(i)) for i in range(tasks)] if isinstance(tasks, int) else tasks
    opened = Session(
        AnnotationPlan(tuple(asked), QUESTION, **plan),
        Ledger(folder, QUESTION),
        Ledger(folder / "gold", QUESTION),
        Leases(folder / "leases.json", LEASE_MINUTES * 60),
        clock or Clock(),
    )
    try:
        yield opened
    finally:
        opened.close()


def answer(opened: Session, annotator: str, verdict: str = "first", **fields: Any) -> Decision:
    """Decide what is on a person's screen; the decision is returned, to be sent again."""
    made = decision(opened.view(annotator)["task"]["id"], verdict, **fields)
    assert opened.decide(annotator, made) is None
    return made


def stored(folder: Path) -> list[Judgment]:
    lines = (folder / "judgments.jsonl").read_text(encoding="utf-8").splitlines()
    return [Judgment.model_validate_json(line) for line in lines]


def standing(judgments: list[Judgment]) -> list[Judgment]:
    """The current judgments, as aggregation reads them."""
    taken_back = {judgment.supersedes for judgment in judgments}
    return [judgment for judgment in judgments if judgment.id not in taken_back]
