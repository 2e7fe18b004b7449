"""Where a run's results come from: its constitution, models, settings, versions and excluded records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.records import Prompt
from core.store.files import is_there
from publius.runs.inputs import CONSTITUTION, RESOLVED
from publius.views.report.figures import Figure, FigureBook
from publius.views.report.reading.places import marked_constitution, principle_places
from publius.views.report.reading.sources import RunSource


@dataclass(frozen=True)
class RunProvenance:
    """The origin of one run."""

    facts: Mapping[str, str]
    """Names, digests and versions by title."""
    prompts: Mapping[str, Figure]
    """Number of prompts by split."""
    constitution: tuple[tuple[str, str], ...]
    """The file `constitution.yaml` of the run folder in parts: an anchor, empty at the top, and the text."""
    settings: str
    """The file `resolved.yaml` of the run folder."""


def read_provenance(run: RunSource, book: FigureBook) -> RunProvenance:
    """Return the origin of a run."""
    manifest, identity = run.manifest, run.reader.identity
    models = {
        f"{role} model": f"{name}{_short(identity.models.get(role, ''))}" for role, name in run.models.items()
    }
    facts = {
        "run folder": run.folder.name,
        "run digest": manifest["digest"],
        "constitution": _constitution(run),
        **models,
        "seed": str(manifest["seed"]),
        "created": manifest["created"],
        "prompts digest": identity.prompts,
        "templates digest": identity.templates,
        "versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
        "Python": manifest["python"],
    }
    splits = Counter(_split(prompt) for prompt in run.reader.prompts)
    counts = {split: book.count(f"{run.label}.prompts.{split}", n) for split, n in sorted(splits.items())}
    known = {title: fact for title, fact in facts.items() if fact}
    constitution = marked_constitution(_text(run, CONSTITUTION), principle_places(run))
    return RunProvenance(known, counts, constitution, _text(run, RESOLVED))


def _constitution(run: RunSource) -> str:
    digest = _short(run.reader.identity.constitution)
    if run.constitution is None:
        return digest.strip()
    return f"{run.constitution.name} {run.constitution.version}".strip() + digest


def _short(digest: str) -> str:
    return f" ({digest[:16]})" if digest else ""


def _split(prompt: Prompt) -> str:
    return prompt.split or "none"


def _text(run: RunSource, name: str) -> str:
    path = run.folder / name
    return path.read_text(encoding="utf-8", errors="replace") if is_there(path) else ""
