"""`publius audit scenarios`: scenarios for each principle of a constitution, in a file for people to edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.errors import ConfigError
from core.notices import counted, note, warn
from core.records import Prompt
from core.store.files import is_there
from prompts.scenarios.file import (
    PROMPT_KINDS,
    Scenario,
    ScenarioKind,
    add_scenarios,
    read_scenarios,
    wording_of,
)
from prompts.scenarios.plain import (
    TEMPLATE_AUTHOR,
    counts_by_kind,
    goal_of,
    insisting_turns,
    plain_scenarios,
)
from prompts.shares import KINDS, Cell
from prompts.synthesis import Synthesis
from publius.authoring.prompts import fill_synthesis
from publius.runs.engines import EngineMaker, conversations, make_engine
from publius.runs.one_model import engine_settings, one_model, project_of

_MANY_SCENARIOS = 500


@dataclass(frozen=True)
class ScenariosRequest:
    """Options of `publius audit scenarios`."""

    constitution: str
    to: Path
    model: str | None = None
    """The model that writes; None for plain scenarios from templates."""
    per_tenet: int = 12
    seed: int = 0
    only: Sequence[str] = ()
    """Ids of principles; if empty, all."""
    engine: str = "transformers"


@dataclass(frozen=True)
class ScenariosResult:
    """What was added to a file of scenarios."""

    to: Path
    added: tuple[Scenario, ...]
    kept: int
    """Number of scenarios that the file had before."""
    rejected: Mapping[str, int]
    """Number of the writer's messages that were not used, by reason."""
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        tenets: dict[str, dict[str, int]] = {}
        for one in self.added:
            kinds = tenets.setdefault(one.tenet, {})
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
        return {
            "file": str(self.to),
            "kept": self.kept,
            "added": len(self.added),
            "tenets": tenets,
            "authors": dict(Counter(one.author for one in self.added)),
            "not_used": dict(self.rejected),
            "warnings": list(self.warnings),
        }


def write_scenarios(request: ScenariosRequest, make: EngineMaker = make_engine) -> ScenariosResult:
    """Add scenarios of the tenets that have none to a file; those that are there remain as they are.

    A writer's messages that are missing after all attempts are replaced by plain ones. Its answers are in the
    request cache of the project: after an interruption, the same command resumes.

    Raises:
        ConfigError: if an option, the constitution or the file is invalid, with its lines.
        EngineError: if the model cannot be asked.
        RunStateError: if the file cannot be written.
    """
    if not 1 <= request.per_tenet <= _MANY_SCENARIOS:
        raise ConfigError(
            f"found {request.per_tenet}", where="--per-tenet", accepted=f"1 to {_MANY_SCENARIOS}"
        )
    constitution = load_constitution(request.constitution)
    chosen = {constitution.principle(name).id for name in request.only}
    before = read_scenarios(request.to, constitution) if is_there(request.to) else None
    known = {one.tenet for one in before.scenarios} if before else set()
    new = [
        principle
        for principle in constitution.principles
        if principle.id not in known and (not chosen or principle.id in chosen)
    ]
    warnings = [] if before is None else list(_about_reworded(before.reworded(constitution)))
    synthesis = _written(request, constitution, new, make) if request.model and new else None
    added = [scenario for principle in new for scenario in _of_tenet(request, principle, synthesis, warnings)]
    if added and not add_scenarios(request.to, constitution, added):
        warn(f"{request.to}: nothing could be added at its end, so it was written anew without its comments")
    rejected = dict(synthesis.rejected.most_common()) if synthesis else {}
    kept = len(before.scenarios) if before else 0
    return ScenariosResult(request.to, tuple(added), kept, rejected, tuple(warnings))


def _about_reworded(tenets: Sequence[str]) -> Iterator[str]:
    if tenets:
        yield (
            f"reworded since their scenarios were written: {', '.join(tenets)}; to have new ones, delete "
            "theirs from the file"
        )


def _written(
    request: ScenariosRequest, constitution: Constitution, new: Sequence[Principle], make: EngineMaker
) -> Synthesis:
    """Return the messages that the writer wrote for the tenets."""
    assert request.model is not None
    cells = tuple(cell for principle in new for cell in _cells(principle, request.per_tenet))
    wanted, most = sum(c.wanted for c in cells), sum(c.max_attempts for c in cells)
    note(f"{request.model} is asked for {counted(wanted, 'message')}, in at most {counted(most, 'request')}")
    synthesis = Synthesis(constitution, cells, request.seed, source=f"written by {request.model}")
    with one_model(request.model, project_of(request.constitution), make, request.engine) as engine:
        fill_synthesis(synthesis, engine, conversations(engine_settings(request.engine)))
    return synthesis


def _cells(principle: Principle, per_tenet: int) -> Iterator[Cell]:
    """Yield how many messages of each kind the writer is asked for."""
    counts = counts_by_kind(principle, per_tenet)
    for kind in KINDS:
        yield Cell(principle, kind, sum(n for name, n in counts.items() if PROMPT_KINDS[name] == kind))


def _of_tenet(
    request: ScenariosRequest, principle: Principle, synthesis: Synthesis | None, warnings: list[str]
) -> Iterator[Scenario]:
    """Yield the scenarios of one tenet: the writer's, and plain ones for what is missing."""
    counts = counts_by_kind(principle, request.per_tenet)
    if not counts:
        warnings.append(f"{principle.id}: no scenarios, since its scope excludes every kind")
    messages = {kind: list(_messages(synthesis, principle, kind)) for kind in set(PROMPT_KINDS.values())}
    for kind, count in counts.items():
        texts = messages[PROMPT_KINDS[kind]]
        own = [_by_writer(request, principle, kind, texts.pop(0), n) for n in range(min(count, len(texts)))]
        plain = plain_scenarios(principle, kind, count - len(own), request.seed)
        if synthesis is not None and plain:
            wanted = counted(count, f"{kind} scenario")
            warnings.append(f"{principle.id}: {len(plain)} of {wanted} from templates")
        if len(own) + len(plain) < count:
            found = len(own) + len(plain)
            warnings.append(f"{principle.id}: {found} of {counted(count, f'{kind} scenario')} in its scope")
        yield from (*own, *plain)


def _messages(synthesis: Synthesis | None, principle: Principle, kind: str) -> Iterator[str]:
    prompts: Sequence[Prompt] = ()
    if synthesis is not None:
        prompts = [
            p
            for c, found in synthesis.taken.items()
            if (c.principle, c.kind) == (principle, kind)
            for p in found
        ]
    for prompt in prompts:
        yield prompt.messages[-1].content


def _by_writer(
    request: ScenariosRequest, principle: Principle, kind: ScenarioKind, text: str, number: int
) -> Scenario:
    many = kind == "multi_turn"
    return Scenario(
        tenet=principle.id,
        kind=kind,
        author=f"{request.model}; later turns: {TEMPLATE_AUTHOR}" if many else str(request.model),
        user=(text, *insisting_turns(principle, number)) if many else (text,),
        goal=goal_of(principle) if many else None,
        wording=wording_of(principle),
    )
