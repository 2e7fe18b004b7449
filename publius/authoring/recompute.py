"""The preferences of a finished run as they would be under another constitution.

The comparisons, the labeler, the configuration and people's judgments are the run's. Its label stage is run
again in a temporary folder, so that nothing of it is written twice here or altered there; the project's
request cache answers every question that the edit did not touch, and keeps the answers to those that it did.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
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
from labelers.crowd.votes import MACHINES
from prompts.environment import PromptTemplates
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.folder import Run
from publius.runs.project import has_cache
from publius.runs.reader import RunReader
from publius.stages.label import Labeling, judge_and_aggregate, warn_of_labels


@dataclass(frozen=True)
class Estimate:
    """What the AI labeler would be asked under another constitution."""

    comparisons: int
    calls: int
    """Two for each judgment, one in each presentation order."""
    new: int
    """Calls whose answer is not in the cache."""

    def as_json(self) -> dict[str, int]:
        """Return the counts as JSON-able values."""
        return asdict(self)

    def summary(self) -> str:
        """Return one line for people."""
        known = self.calls - self.new
        return f"{self.calls:,} calls of the labeler: {self.new:,} are new, {known:,} are in the cache"


class Recomputed(Run):
    """A run of its own in a temporary folder, over the comparisons of a finished one, which it only reads."""

    def __init__(self, folder: Path, finished: RunReader, constitution: Constitution) -> None:
        self.finished = finished
        identity = replace(finished.identity, constitution=constitution.digest)
        super().__init__(folder, finished.config, constitution, identity)
        for judgment in finished.judgments if finished.config.label.humans else ():
            if judgment.labeler not in MACHINES:
                self.judgments.append(judgment)

    @property
    def comparisons(self) -> RecordFile[Comparison]:
        """The finished run's."""
        return self.finished.comparisons

    @property
    def added_comparisons(self) -> RecordFile[Comparison]:
        """The finished run's."""
        return self.finished.added_comparisons


@contextmanager
def recomputation(
    finished: RunReader, constitution: Constitution, make: EngineMaker = make_engine
) -> Iterator[tuple[Recomputed, Engines]]:
    """Yield a run under the constitution in which nothing is judged yet, with its engines; see `fill`.

    Raises:
        RunStateError: the labeler that is found here is not the run's.
        PubliusError: there is none, or it cannot label.
    """
    project = finished.folder.parent.parent
    if not has_cache(project):
        warn(f"{project} has no request cache, so that all is asked; was the run folder moved or copied?")
    with (
        open_engines(finished.config, project, make, pairs_only=True) as engines,
        _temporary_folder() as folder,
    ):
        _require_same_labeler(finished, engines)
        warn_of_labels(finished.config, engines, self_labels=False)
        with Recomputed(Path(folder), finished, constitution) as run:
            yield run, engines


def estimate(run: Recomputed, engines: Engines) -> Estimate:
    """Return how many calls the recomputation takes, and how many of them the cache answers."""
    labeling = Labeling.of(run, engines)
    comparisons = calls = new = 0
    total = len(run.comparisons) + len(run.added_comparisons)
    with progress("look up", total) as task:
        for comparison in run.all_comparisons():
            requests = list(labeling.requests(comparison))
            unknown = {
                labeling.engine.key(request) for request in requests if not labeling.engine.knows(request)
            }
            comparisons, calls, new = comparisons + 1, calls + len(requests), new + len(unknown)
            task.advance()
    return Estimate(comparisons, calls, new)


def fill(run: Recomputed, engines: Engines) -> None:
    """Judge all comparisons and write the preferences; whatever is answered stays in the cache."""
    asyncio.run(judge_and_aggregate(run, engines))


def require_place_for(to: Path, finished: Path) -> None:
    """Refuse a file that could not be written, before anything is asked for it.

    Raises:
        ConfigError: it is there already or no .jsonl file, or its folder is missing or the run folder.
    """
    if to.suffix != ".jsonl":
        raise ConfigError(f"found {str(to)!r}", where="--to", accepted="the name of a .jsonl file")
    if is_there(to):
        raise ConfigError(f"{to} is there already", where="--to", accepted="a new file")
    folder = to.resolve().parent
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {to.parent}", where="--to", accepted="a file in a folder that is there"
        )
    if folder.is_relative_to(finished.resolve()):
        raise ConfigError(
            "the file is in the run folder, which is not altered", where="--to", accepted="another folder"
        )


def copy_preferences(run: Recomputed, to: Path) -> None:
    """Write the recomputed preferences to a file, whole or not at all."""
    with os_errors(to), (run.folder / "preferences.jsonl").open("rb") as lines:
        write_stream(to, lines)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    with os_errors(Path(os.environ.get("TMPDIR", "/tmp"))):
        return tempfile.TemporaryDirectory(prefix="publius-diff-")


def _require_same_labeler(finished: RunReader, engines: Engines) -> None:
    """Refuse another labeler than the run's: what it says would tell nothing of the constitution."""
    if finished.config.label.principles:
        here, recorded = engines.of("labeler").identity, finished.identity.models.get("labeler")
        if here != recorded:
            raise RunStateError(
                f"the labeler {engines.of('labeler').model} is not the one that labelled the run",
                where=str(finished.folder),
                accepted="the same files, weight type and chat template",
                run="publius run RUN.yaml, which labels all with the labeler that is here",
            )
    if finished.identity.templates != PromptTemplates().digest:
        warn("the request templates are not those of the run: what they changed is asked again too")
