"""`publius annotate`: people compare the answers of a run, or of any folder of records, on a local page."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError, RunStateError
from core.lazy import require
from core.notices import warn
from labelers.page.access import open_access
from labelers.page.hosts import Hosts, is_loopback
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.overview import overview
from labelers.page.server import ANNOTATE_EXTRA, listen, serve
from labelers.page.session import LEASE_MINUTES, AnnotationPlan, GoldTask, Session
from labelers.page.tasks import Question, Task, make_tasks
from publius.labels.gold import GoldReport, labeler_accuracy
from publius.labels.sources import (
    AnnotationSource,
    chosen_by,
    gold_questions,
    gold_slice,
    read_annotation_source,
)

_GRACE_S = 8.0
"""How long the page stays after the last answer of a gold slice, for an undo."""


@dataclass(frozen=True)
class Collection:
    """What is asked of how many people."""

    folder: Path
    """A run, or a folder with comparisons.jsonl."""
    to: Path | None = None
    annotators_per: int = 1
    select: Path | None = None
    rank: bool = False
    principle: str | None = None
    dimension: str | None = None
    gold: int | None = None
    gold_questions: Path | None = None
    gold_share: float = 0.1

    @property
    def output(self) -> Path:
        """The folder that the labels go to."""
        return self.to or self.folder / "human"


@dataclass(frozen=True)
class Address:
    """Where the page listens, and who may call it."""

    host: str
    port: int
    allow_hosts: tuple[str, ...]
    token: str | None


@dataclass(frozen=True)
class Links:
    """Where the page is, and what it asks."""

    people: str
    owner: str
    folder: Path
    """Where the labels go."""
    tasks: tuple[Task, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the links as JSON-able values."""
        links = {"people": self.people, "owner": self.owner, "folder": str(self.folder)}
        return {**links, "tasks": len(self.tasks)}


@dataclass(frozen=True)
class Collected:
    """What people have answered when the page ends."""

    overview: dict[str, Any]
    gold: GoldReport | None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        outcome = {key: self.overview[key] for key in ("given", "wanted", "complete")}
        return {**outcome, "gold": self.gold.as_json() if self.gold else None}


def serve_page(collection: Collection, address: Address, opened: Callable[[Links], None]) -> Collected:
    """Serve the page until it is interrupted, or the gold slice is complete; return what was answered.

    Args:
        collection: what is asked of how many people.
        address: where the page listens.
        opened: called with the links once the page can be reached.

    Raises:
        ConfigError: an option does not fit the folder or this machine.
        DataError: there is nothing to compare, or a file cannot be read.
        RunStateError: the labels of another run are in the folder, or it cannot be written.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, ANNOTATE_EXTRA)
    from labelers.page.app import Page, build_app

    source = read_annotation_source(collection.folder)
    plan = make_plan(collection, source)
    with (
        listen(address.host, address.port) as listening,
        open_session(collection, source, plan) as session,
    ):
        access = open_access(collection.output / "page.json", address.token)
        if not is_loopback(address.host):
            warn(
                "texts, tokens and decisions travel unencrypted; put a server with HTTPS in front of this one"
            )
        base = f"http://{_called(address.host)}:{listening.getsockname()[1]}"
        people, owner = f"{base}/#{access.token}", f"{base}/owner#{access.owner_token}"
        opened(Links(people, owner, collection.output, plan.tasks))
        is_done = session.is_complete if collection.gold is not None else lambda: False
        app = build_app(Page(session, access), Hosts.of(address.host, address.allow_hosts))
        serve(app, listening, is_done, _GRACE_S)
        gold = _gold_report(collection, source, session)
        if gold is not None:
            gold.write(session.ledger.comparisons.path.parent / "gold.json")
        return Collected(overview(session), gold)


def make_plan(collection: Collection, source: AnnotationSource) -> AnnotationPlan:
    """Return what is to be asked, in order. Raises ConfigError or DataError."""
    if collection.gold is not None and (collection.select is not None or collection.rank):
        raise ConfigError(
            "--gold draws comparisons at random, so that the accuracy is that of all",
            accepted="--gold without --select and --rank",
        )
    question = _question(collection, source)
    comparisons = source.asked(collection.principle)
    if collection.gold is not None:
        comparisons = gold_slice(source, comparisons, collection.gold, collection.principle)
    elif collection.select is not None:
        comparisons = chosen_by(collection.select, comparisons)
    tasks = make_tasks(comparisons, rank=collection.rank)
    gold: tuple[GoldTask, ...] = ()
    if collection.gold_questions is not None:
        gold = gold_questions(collection.gold_questions)
    known = {task.task.id for task in gold}
    unknown = tuple(task for task in tasks if task.id not in known)
    if not unknown:
        raise DataError(
            "every comparison is a gold question, so that nothing is left to ask",
            where=f"--gold-questions {collection.gold_questions}",
            accepted="pairs that are not among the comparisons",
        )
    return AnnotationPlan(
        unknown, question, collection.annotators_per, gold, collection.gold_share, source.seed
    )


@contextmanager
def open_session(collection: Collection, source: AnnotationSource, plan: AnnotationPlan) -> Iterator[Session]:
    """Open the folder that the labels go to, locked for this process, and go on from what is in it."""
    folder = collection.output
    if (folder / "manifest.json").exists():
        raise RunStateError(
            "this is a run folder, and labels have a folder of their own",
            where=f"--to {folder}",
            accepted=f"a new folder, such as {folder / 'human'}",
        )
    ledger = Ledger(folder, plan.question)
    try:
        _require_same_source(ledger, source, folder)
        gold_ledger = Ledger(folder / "gold", plan.question)
        leases = Leases(folder / "leases.json", LEASE_MINUTES * 60)
    except BaseException:
        ledger.close()
        raise
    session = Session(plan, ledger, gold_ledger, leases)
    try:
        yield session
    finally:
        session.close()


def _require_same_source(ledger: Ledger, source: AnnotationSource, folder: Path) -> None:
    """Refuse a folder whose comparisons are about prompts that the source does not have."""
    prompts = {comparison.prompt.id for comparison in source.comparisons}
    if any(comparison.prompt.id not in prompts for comparison in ledger.comparisons):
        raise RunStateError(
            "this folder holds labels of another run",
            where=str(folder),
            accepted="a run with all prompts of the labels in it, or a new folder by --to DIR",
        )


def _question(collection: Collection, source: AnnotationSource) -> Question:
    dimension = collection.dimension
    if collection.principle is not None:
        text = f"Which answer fits this better? {source.principle(collection.principle).text}"
        return Question(text, collection.principle, dimension)
    guide = tuple(p.text for p in source.constitution.principles) if source.constitution else ()
    if dimension is not None:
        return Question(f"Which answer is better in this respect: {dimension}?", dimension=dimension)
    return Question("Which answer is better?", guide=guide)


def _called(host: str) -> str:
    """Return the name by which a browser reaches an address."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name


def _gold_report(collection: Collection, source: AnnotationSource, session: Session) -> GoldReport | None:
    if collection.gold is None:
        return None
    with session.reading():
        return labeler_accuracy(source, session.plan.tasks, session.ledger, collection.principle)
