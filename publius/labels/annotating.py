"""`publius annotate`: a local page on which annotators compare the answers of a run or folder of records."""

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
from core.web.hosts import Hosts, is_loopback
from core.web.server import listen, serve
from labelers.page.access import open_access
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.overview import overview
from labelers.page.session import LEASE_MINUTES, AnnotationPlan, GoldTask, Session
from labelers.page.tasks import Question, Task, make_tasks
from publius.labels.gold import GoldReport, labeler_accuracy
from publius.labels.sources import (
    AnnotationSource,
    chosen_by,
    gold_questions,
    gold_slice,
    passing_comparisons,
    read_annotation_source,
)
from publius.runs.pairs.filters import NO_FILTER, PreferenceFilter

_EXTRA = "annotate"
_GRACE_S = 8.0
"""Seconds that the page stays open after the last answer of a gold slice, to allow an undo."""


@dataclass(frozen=True)
class Collection:
    """The comparisons to ask, how to ask them, and the number of annotators."""

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
    conditions: PreferenceFilter = NO_FILTER
    """Ask only about comparisons whose preference passes."""

    @property
    def output(self) -> Path:
        """The folder that the labels are written to."""
        return self.to or self.folder / "human"


@dataclass(frozen=True)
class Address:
    """Address of the page, and access control."""

    host: str
    port: int
    allow_hosts: tuple[str, ...]
    token: str | None


@dataclass(frozen=True)
class Links:
    """Links to the page, and the tasks on it."""

    annotators: str
    owner: str
    folder: Path
    """Folder of the labels."""
    tasks: tuple[Task, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the links as JSON-able values."""
        links = {"people": self.annotators, "owner": self.owner, "folder": str(self.folder)}
        return {**links, "tasks": len(self.tasks)}


@dataclass(frozen=True)
class Collected:
    """The answers of the annotators when the page closes."""

    overview: dict[str, Any]
    gold: GoldReport | None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        outcome = {key: self.overview[key] for key in ("given", "wanted", "complete")}
        return {**outcome, "gold": self.gold.as_json() if self.gold else None}


def serve_page(collection: Collection, address: Address, opened: Callable[[Links], None]) -> Collected:
    """Serve the page until it is interrupted or the gold slice is complete, and return the answers.

    Args:
        collection: the comparisons to ask, and the number of annotators.
        address: address and access control of the page.
        opened: called with the links once the page can be reached.

    Raises:
        ConfigError: an option does not match the folder or this machine.
        DataError: there are no comparisons, or a file cannot be read.
        RunStateError: the folder holds labels of another run, or is not writable.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, _EXTRA)
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
                "texts, tokens and decisions are sent unencrypted; put an HTTPS proxy in front of this server"
            )
        base = f"http://{_browser_host(address.host)}:{listening.getsockname()[1]}"
        annotators, owner = f"{base}/#{access.token}", f"{base}/owner#{access.owner_token}"
        opened(Links(annotators, owner, collection.output, plan.tasks))
        is_done = session.is_complete if collection.gold is not None else lambda: False
        app = build_app(Page(session, access), Hosts.of(address.host, address.allow_hosts))
        serve(app, listening, _EXTRA, is_done, _GRACE_S)
        gold = _gold_report(collection, source, session)
        if gold is not None:
            gold.write(session.ledger.comparisons.path.parent / "gold.json")
        return Collected(overview(session), gold)


def make_plan(collection: Collection, source: AnnotationSource) -> AnnotationPlan:
    """Return the plan of what to ask, in order. Raises ConfigError or DataError."""
    if collection.gold is not None and (collection.select is not None or collection.rank):
        raise ConfigError(
            "--gold cannot be combined with --select or --rank, because it draws comparisons at random",
            accepted="--gold alone",
        )
    question = _question(collection, source)
    comparisons = passing_comparisons(
        collection.folder, source.comparisons_about(collection.principle), collection.conditions
    )
    if collection.gold is not None:
        comparisons = gold_slice(source, comparisons, collection.gold, collection.principle)
    elif collection.select is not None:
        comparisons = chosen_by(collection.select, comparisons)
    tasks = make_tasks(comparisons, rank=collection.rank)
    gold: tuple[GoldTask, ...] = ()
    if collection.gold_questions is not None:
        gold = gold_questions(collection.gold_questions)
    # A comparison that is also a gold question is asked only as the gold question.
    known = {task.task.id for task in gold}
    unknown = tuple(task for task in tasks if task.id not in known)
    if not unknown:
        raise DataError(
            "every comparison is a gold question, so nothing is left to ask",
            where=f"--gold-questions {collection.gold_questions}",
            accepted="pairs that are not among the comparisons",
        )
    return AnnotationPlan(
        unknown, question, collection.annotators_per, gold, collection.gold_share, source.seed
    )


@contextmanager
def open_session(collection: Collection, source: AnnotationSource, plan: AnnotationPlan) -> Iterator[Session]:
    """Open the folder of the labels, locked for this process, and resume from its contents."""
    folder = collection.output
    if (folder / "manifest.json").exists():
        raise RunStateError(
            "this is a run folder; labels need a folder of their own",
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
    """Refuse a folder with comparisons on prompts that are not in the source."""
    prompts = {comparison.prompt.id for comparison in source.comparisons}
    if any(comparison.prompt.id not in prompts for comparison in ledger.comparisons):
        raise RunStateError(
            "this folder holds labels of another run",
            where=str(folder),
            accepted="the run that these labels belong to, or a new folder for --to",
        )


def _question(collection: Collection, source: AnnotationSource) -> Question:
    dimension = collection.dimension
    if collection.principle is not None:
        text = f"Which answer fits this better? {source.principle(collection.principle).text}"
        return Question(text, collection.principle, dimension)
    guide = tuple(p.text for p in source.constitution.steering) if source.constitution else ()
    if dimension is not None:
        return Question(f"Which answer is better in this respect: {dimension}?", dimension=dimension)
    return Question("Which answer is better?", guide=guide)


def _browser_host(host: str) -> str:
    """Return the host name to open an address in a browser."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name


def _gold_report(collection: Collection, source: AnnotationSource, session: Session) -> GoldReport | None:
    if collection.gold is None:
        return None
    with session.reading():
        return labeler_accuracy(source, session.plan.tasks, session.ledger, collection.principle)
