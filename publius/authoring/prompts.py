"""`publius prompts`: have a model write prompts for a constitution, into a new prompts file for a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.concurrency import for_each
from core.errors import ConfigError, DataError, RequestError, RunStateError
from core.notices import counted, note, warn
from core.progress import ProgressTask, progress
from core.records import Prompt, Sampling
from core.store.files import is_there, os_errors, write_new
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine, RequestCounts
from engines.embedded import EMBEDDED_NAME
from engines.protocols import GenerationRequest
from prompts.shares import KINDS, cells_of, reaches
from prompts.synthesis import Attempt, Reply, Synthesis
from publius.runs.engines import EngineMaker, conversations, make_engine
from publius.runs.one_model import engine_settings, one_model, project_of
from publius.sources.prompt_survey import survey
from publius.sources.prompts import PromptFile, read_prompt_rows

_EMBEDDED_WARNING = (
    "the embedded model is only good enough to try this command: of 40 prompts, 3 matched their kind and "
    "principle, and none was tempting (see docs/prompts.md); review the prompts, or set --model to a larger "
    "model"
)
_SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=96, stop=("\nRule for the assistant:",))


@dataclass(frozen=True)
class PromptsRequest:
    """Options of prompt synthesis."""

    constitution: str
    count: int
    to: Path
    model: str = EMBEDDED_NAME
    seed: int = 0
    only: Sequence[str] = ()
    """Ids of principles; if empty, all principles."""
    seeds_from: Path | None = None
    engine: str = "transformers"


@dataclass(frozen=True)
class PromptsResult:
    """Result of prompt synthesis."""

    synthesis: Synthesis
    to: Path
    asked: int
    reused: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        cells = self.synthesis.cells
        principles: dict[str, dict[str, dict[str, int]]] = {}
        for cell in cells:
            counts = {"wanted": cell.wanted, "got": len(self.synthesis.taken[cell])}
            principles.setdefault(cell.principle.id, {})[cell.kind] = counts
        return {
            "file": str(self.to),
            "wanted": sum(cell.wanted for cell in cells),
            "got": len(self.synthesis.prompts),
            "kinds": {kind: sum(kind in p.tags for p in self.synthesis.prompts) for kind in KINDS},
            "principles": principles,
            "left_out": dict(self.synthesis.rejected.most_common()),
            "asked": self.asked,
            "reused": self.reused,
            "warnings": list(self.warnings),
        }


def synthesise(request: PromptsRequest, make: EngineMaker = make_engine) -> PromptsResult:
    """Have a model write prompts into a new file. After an interruption, the same command resumes.

    Raises:
        ConfigError: if an option or the constitution is invalid.
        DataError: if the seed file is invalid, or none of the model's replies could be used.
        EngineError: if the model cannot be loaded.
        RunStateError: if the file exists or cannot be written; no request has been sent then.
    """
    if request.count < 1:
        raise ConfigError(f"found {request.count}", where="-n", accepted="a whole number of at least 1")
    constitution = load_constitution(request.constitution)
    principles = _chosen(constitution, request.only)
    seeds = _usable(request.seeds_from) if request.seeds_from else []
    _require_new(request.to)
    synthesis = Synthesis(
        constitution,
        cells_of(principles, request.count),
        request.seed,
        seeds,
        f"synthesised by {request.model}",
    )
    counts = _run(synthesis, request, make)
    if not synthesis.prompts:
        reasons = _reasons(synthesis.rejected)
        raise DataError(
            f"none of the replies of {request.model} could be used ({reasons}); nothing was written",
            where="--model",
            accepted="a larger model",
        )
    write_new(request.to, "".join(_line(prompt) for prompt in synthesis.prompts))
    return PromptsResult(
        synthesis,
        request.to,
        counts.asked.total(),
        counts.reused.total(),
        tuple(_warnings(request, principles, synthesis)),
    )


def _usable(path: Path) -> list[Prompt]:
    """Return the prompts of a data set. Raises DataError if no row can be used."""
    source = PromptFile(path)
    found = survey(source, "file")
    if found.unread_splits:
        note(found.unread_splits)
    if found.reasons:
        reasons = _reasons(found.reasons)
        warn(f"{path}: {found.reasons.total():,} of {counted(found.rows, 'row')} skipped: {reasons}")
    return [row.parsed.prompt for row in read_prompt_rows(source) if row.parsed]


def _run(synthesis: Synthesis, request: PromptsRequest, make: EngineMaker) -> RequestCounts:
    """Fill the synthesis with replies, through the project's cache; return the request counts."""
    project = project_of(request.constitution)
    with one_model(request.model, project, make, request.engine) as engine:
        fill_synthesis(synthesis, engine, conversations(engine_settings(request.engine)))
        return engine.counts


def fill_synthesis(synthesis: Synthesis, engine: CachedEngine, concurrency: int) -> None:
    """Ask a model until no prompt is missing, or every cell has used up its attempts.

    Args:
        synthesis: collects the prompts.
        engine: the model that writes them.
        concurrency: requests at once.
    """
    run_interruptibly(_fill(synthesis, engine, concurrency))


async def _fill(synthesis: Synthesis, engine: CachedEngine, concurrency: int) -> None:
    """Send requests in rounds until no prompt is missing or every cell has used up its attempts."""
    wanted, number = sum(cell.wanted for cell in synthesis.cells), 1
    with progress("prompts", wanted) as task:
        while attempts := synthesis.next_round(number):
            replies = await _ask(synthesis, engine, attempts, concurrency, task)
            synthesis.take(replies)
            task.advance(len(synthesis.prompts) - task.done)
            number += 1


async def _ask(
    synthesis: Synthesis,
    engine: CachedEngine,
    attempts: Sequence[Attempt],
    concurrency: int,
    task: ProgressTask,
) -> list[Reply]:
    """Return the replies in the order of the attempts; count requests that cannot be run."""
    replies: dict[Attempt, Reply] = {}

    async def ask(attempt: Attempt) -> None:
        turns, seed = synthesis.request(attempt)
        try:
            answer = await engine.generate(GenerationRequest(turns, _SAMPLING, seed, "prompts"))
        except RequestError as error:
            synthesis.rejected[error.reason] += 1
            return
        replies[attempt] = Reply(attempt, answer.text, answer.finish_reason == "stop")
        rejected = synthesis.rejected.total()
        task.note(f"{len(replies):,} of {len(attempts):,} replies of this round, skipped {rejected:,}")

    await for_each(attempts, ask, concurrency)
    return [replies[attempt] for attempt in attempts if attempt in replies]


def _chosen(constitution: Constitution, only: Sequence[str]) -> list[Principle]:
    wanted = {constitution.principle(name).id for name in only}
    chosen = [p for p in constitution.principles if not wanted or p.id in wanted]
    if not any(reaches(principle, kind) for principle in chosen for kind in KINDS):
        raise ConfigError(
            f"no prompts to write: the scopes of the principles include none of {', '.join(KINDS)}",
            where=constitution.name,
            accepted="a principle whose applies_to and except include one of them",
        )
    return chosen


def _require_new(to: Path) -> None:
    """Raise an error if the file exists or cannot be written, before any request is sent."""
    if to.suffix != ".jsonl":
        raise ConfigError(f"found {str(to)!r}", where="--to", accepted="the name of a .jsonl file")
    if is_there(to):
        raise RunStateError(
            "the file already exists; no request was sent",
            where=str(to),
            accepted="a new file for --to; earlier answers are reused from the cache",
        )
    probe = to.with_name(f".{to.name}.probe")
    with os_errors(to):
        probe.touch()
        probe.unlink()


def _warnings(request: PromptsRequest, principles: Sequence[Principle], synthesis: Synthesis) -> list[str]:
    warnings = []
    if request.model in (EMBEDDED_NAME, "embedded"):
        warnings.append(_EMBEDDED_WARNING)
    if request.model == "scripted":
        warnings.append("the scripted engine is for dry runs: it writes placeholder text, not prompts")
    for kind in KINDS:
        if not any(reaches(principle, kind) for principle in principles):
            warnings.append(f"no {kind} prompts: the scope of every principle excludes them")
    for cell in synthesis.cells:
        got = len(synthesis.taken[cell])
        if got < cell.wanted:
            asked = synthesis.attempts[cell]
            wanted = counted(cell.wanted, f"{cell.kind} prompt")
            warnings.append(f"{cell.principle.id}: {got} of {wanted} after {counted(asked, 'attempt')}")
    return warnings


def _reasons(rejected: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common())


def _line(prompt: Prompt) -> str:
    row = {"prompt": prompt.messages[-1].content, "tags": prompt.tags, "source": prompt.source}
    return json.dumps(row, ensure_ascii=False) + "\n"
