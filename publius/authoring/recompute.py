"""Recompute the preferences of a finished run under another constitution.

Comparisons, labeler, configuration and human judgments are those of the run. The label stage runs again in a
temporary folder, so the run folder does not change. Requests that the edit does not affect are answered from
the project's request cache, and new answers are added to it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from constitution.schema import Constitution
from core.errors import ConfigError, RunStateError
from core.notices import warn
from core.progress import progress
from core.records import Comparison
from core.store.files import is_there, os_errors, write_stream
from core.store.record_store import RecordFile
from core.terminal.interrupts import run_interruptibly
from labelers.crowd.votes import MACHINES
from labelers.modes.asking import Request
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.folder import Run
from publius.runs.opening.identity import templates_digest
from publius.runs.opening.rules import tier_rule_of
from publius.runs.project import has_cache
from publius.runs.reader import RunReader
from publius.stages.label import Labeling, judge_and_aggregate, warn_about_labels


@dataclass(frozen=True)
class Estimate:
    """Number of requests that the AI labeler needs under another constitution."""

    comparisons: int
    calls: int
    """Number of calls: two for each judgment, one per presentation order."""
    new: int
    """Number of calls whose answer is not in the cache."""

    def as_json(self) -> dict[str, int]:
        """Return the counts as JSON-able values."""
        return asdict(self)

    def summary(self) -> str:
        """Return the counts as one line of text."""
        known = self.calls - self.new
        return f"{self.calls:,} labeler calls: {self.new:,} new, {known:,} in the cache"


class Recomputed(Run):
    """A run in a temporary folder that reads its comparisons from a finished run."""

    def __init__(self, folder: Path, finished: RunReader, constitution: Constitution) -> None:
        self.finished = finished
        identity = replace(finished.identity, constitution=constitution.digest)
        super().__init__(folder, finished.config, constitution, identity)
        # By the same rule, so that all that changes is due to the constitution.
        self.manifest["tiers"] = tier_rule_of(finished.manifest)
        # AI and check judgments depend on the constitution, so only human ones are copied.
        for judgment in finished.judgments if finished.config.label.humans else ():
            if judgment.labeler not in MACHINES:
                self.judgments.append(judgment)

    @property
    def comparisons(self) -> RecordFile[Comparison]:
        """The finished run's comparisons."""
        return self.finished.comparisons

    @property
    def added_comparisons(self) -> RecordFile[Comparison]:
        """The finished run's comparisons that were imported with human judgments."""
        return self.finished.added_comparisons


def project_of_run(finished: RunReader) -> Path:
    """Return the folder of the project of a run, which has the request cache and earlier runs."""
    return finished.folder.parent.parent


@contextmanager
def recomputation(
    finished: RunReader, constitution: Constitution, make: EngineMaker = make_engine
) -> Iterator[tuple[Recomputed, Engines]]:
    """Yield a run under the constitution, without automatic judgments, and its engines; see `fill`.

    Raises:
        RunStateError: if the labeler is not the one that labelled the run.
        PubliusError: if the labeler is missing or cannot label.
    """
    project = project_of_run(finished)
    if not has_cache(project):
        warn(
            f"no request cache in {project}, so every request is sent again; "
            "was the run folder moved or copied?"
        )
    with (
        open_engines(finished.config, project, make, pairs_only=True) as engines,
        _temporary_folder() as folder,
    ):
        _require_same_labeler(finished, engines)
        warn_about_labels(finished.config, constitution, engines, self_labels=False)
        with Recomputed(Path(folder), finished, constitution) as run:
            yield run, engines


def estimate(run: Recomputed, engines: Engines, count: Callable[[Request], object] | None = None) -> Estimate:
    """Return the number of labeler calls of the recomputation, and how many of them are not cached.

    Args:
        run: the recomputation.
        engines: its engines.
        count: called with each request that is not cached.
    """
    labeling = Labeling.of(run, engines)
    comparisons = calls = new = 0
    total = len(run.comparisons) + len(run.added_comparisons)
    with progress("look up", total) as task:
        for comparison in run.all_comparisons():
            requests = list(labeling.requests(comparison))
            unknown = {
                labeling.engine.key(request): request
                for request in requests
                if not labeling.engine.knows(request)
            }
            if count is not None:
                for request in unknown.values():
                    count(request)
            comparisons, calls, new = comparisons + 1, calls + len(requests), new + len(unknown)
            task.advance()
    return Estimate(comparisons, calls, new)


def fill(run: Recomputed, engines: Engines) -> None:
    """Judge all comparisons and write the preferences; answers stay in the cache even if it fails."""
    run_interruptibly(judge_and_aggregate(run, engines))


def require_place_for(to: Path, finished: Path) -> None:
    """Check, before any request is sent, that a new file can be written.

    Raises:
        ConfigError: if it is not a new .jsonl file in an existing folder outside the run folder.
    """
    if to.suffix != ".jsonl":
        raise ConfigError(f"found {str(to)!r}", where="--to", accepted="the name of a .jsonl file")
    if is_there(to):
        raise ConfigError(f"{to} already exists", where="--to", accepted="a new file")
    folder = to.resolve().parent
    if not folder.is_dir():
        raise ConfigError(
            f"no such folder: {to.parent}", where="--to", accepted="a file in an existing folder"
        )
    if folder.is_relative_to(finished.resolve()):
        raise ConfigError(
            "the file is in the run folder, which must not change", where="--to", accepted="another folder"
        )


def copy_preferences(run: Recomputed, to: Path) -> None:
    """Write the recomputed preferences to a file, atomically."""
    with os_errors(to), (run.folder / "preferences.jsonl").open("rb") as lines:
        write_stream(to, lines)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    with os_errors(Path(os.environ.get("TMPDIR", "/tmp"))):
        return tempfile.TemporaryDirectory(prefix="publius-diff-")


def _require_same_labeler(finished: RunReader, engines: Engines) -> None:
    """Raise RunStateError if the labeler is not the run's: its judgments would differ without the edit."""
    if finished.config.label.principles:
        here, recorded = engines.of("labeler").identity, finished.identity.models.get("labeler")
        if here != recorded:
            raise RunStateError(
                f"the labeler {engines.of('labeler').model} is not the one that labelled the run",
                where=str(finished.folder),
                accepted="the labeler of the run, with the same files, dtype and chat template",
                run="publius run RUN.yaml, to label everything with the current labeler",
            )
    digests = {templates_digest(finished.config, judged=judged) for judged in (False, True)}
    if finished.identity.templates not in digests:
        warn("the request templates differ from those of the run, so affected requests are sent again")
