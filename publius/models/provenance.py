"""Provenance of a trained model: its card, its list of excluded examples and its warnings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from core.notices import note, warn
from core.records import Exclusion, Metric
from core.store.files import os_errors, write_atomic
from engines.embedded import EMBEDDED_NAME
from engines.loading import locate
from engines.reward_settings import FILE as SETTINGS
from engines.reward_settings import read_reward_settings
from evaluation.reward.evaluation import temperature_doubt
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.models.card import CardContent, gates_section, model_card, used_examples
from publius.models.examples_used import UsedExamples
from publius.models.hub.shared_base import SharedBase, shared_base
from publius.runs.manifest import package_versions
from training.examples import ExcludedExample
from training.job import TrainingJob, TrainingResult

EXCLUSIONS = "exclusions.jsonl"
_CARD, _CARD_CONTENT = "README.md", "card.json"
_RESULT = "training.json"


@dataclass(frozen=True)
class Provenance:
    """The origin of training data."""

    origin: str
    """Description of the data."""
    digest: str | None = None
    """SHA-256 of the data, if it is a file."""
    ignored_columns: tuple[str, ...] = ()
    excluded: tuple[ExcludedExample, ...] = ()
    """Rows that could not be turned into training examples."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Number of examples by the source of their labels."""
    origins: Mapping[str, int] = field(default_factory=dict)
    """Number of answers to learn by the way in which they were made, such as `draw` or `repaired`."""
    constitution: str | None = None
    constitution_digest: str | None = None
    audit: Mapping[str, Any] = field(default_factory=dict)
    """What an audit says about the labeler of the preferences; empty without an audit."""
    stand_ins: Sequence[str] = ()
    """Roles whose texts or labels are by the scripted engine."""
    caveats: Sequence[str] = ()
    """What speaks against the labels, as sentences."""


def write_card(
    job: TrainingJob,
    results: Sequence[TrainingResult],
    provenance: Provenance,
    section: BaseModel,
    evaluation: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model card and return its path; a card that is up to date is not rewritten.

    The values of the card are saved beside it as `card.json`, for the card of the merged model.

    Args:
        job: the training job.
        results: one result, or one per member of an ensemble.
        provenance: the origin of the training data.
        section: the method's section of the configuration.
        evaluation: the content of a reward model's metrics file.
    """
    first = results[0]
    path = job.folder / _CARD
    settings = job.folder / SETTINGS
    if is_up_to_date(path, results, *([settings] if job.method == "reward" else [])):
        return path
    is_of_run = job.folder.name == job.method
    content = CardContent(
        name=job.run_name.replace("/", " ") if is_of_run else job.folder.name,
        method=job.method,
        base_model=_loadable(job),
        examples=first.examples,
        steps=sum(result.steps for result in results),
        seconds=sum(_spent(result) for result in results),
        data_origin=provenance.origin,
        versions=package_versions(),
        data_digest=provenance.digest,
        held_out=first.held_out,
        truncated=first.truncated,
        best_step=first.best_step,
        tokens=first.tokens,
        excluded=by_reason((*provenance.excluded, *first.excluded)),
        ignored_columns=provenance.ignored_columns,
        sources=provenance.sources,
        origins=provenance.origins,
        settings=_settings(job, section),
        metrics=first.metrics,
        evaluation=_metrics(evaluation or {}),
        constitution=provenance.constitution,
        constitution_digest=provenance.constitution_digest,
        reward=read_reward_settings(job.folder) if job.method == "reward" else None,
        full=job.adapter is None,
        audit=provenance.audit,
        stand_ins=provenance.stand_ins,
        caveats=provenance.caveats,
    )
    write_atomic(
        job.folder / _CARD_CONTENT,
        TypeAdapter(CardContent).dump_json(content, indent=2, by_alias=True) + b"\n",
    )
    write_atomic(path, model_card(content))
    return path


@dataclass(frozen=True)
class CardOptions:
    """What the card of an exported model says beside the values of its training."""

    merged: bool = False
    """True if the adapter is merged into the weights."""
    failed_gates: Sequence[str] = ()
    """The gates that the run failed."""
    base: str | None = None
    """Hugging Face id of the base model; None for the name that the training has, if it is no path."""
    stand_ins: Sequence[str] = ()
    """Roles whose texts are from the scripted engine."""
    terms: CardTerms = NO_TERMS


def write_exported_card(training: Path, to: Path, options: CardOptions) -> None:
    """Write the card of an exported model, from the values saved with its training, if there are any.

    Without them, the card says which gates failed, if any did.
    """
    content = card_content(training)
    if content is None:  # a member of an ensemble, or trained by an earlier version
        if options.failed_gates:
            write_atomic(to / _CARD, gates_section(options.failed_gates))
        return
    base = SharedBase(options.base) if options.base else shared_base(content.base_model, training)
    shown = replace(
        content,
        merged=options.merged,
        failed_gates=options.failed_gates,
        base_model=base.name,
        stand_ins=options.stand_ins or content.stand_ins,
        license=options.terms.license,
        languages=options.terms.languages,
    )
    write_atomic(to / _CARD, model_card(shown, base.note))


def card_content(training: Path) -> CardContent | None:
    """Return the values of a training's card, or None if they are missing or damaged."""
    try:
        return TypeAdapter(CardContent).validate_json((training / _CARD_CONTENT).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def examples_of(training: Path) -> UsedExamples | None:
    """Return how many of its examples a training used, by its card; None if no card can be read."""
    content = card_content(training)
    return None if content is None else used_examples(content)


def warn_of_few_examples(training: Path) -> None:
    """Print a warning if a training used few of its examples."""
    found = examples_of(training)
    if found is not None and found.warning:
        warn(f"{found.method}: {found.warning}")


def is_up_to_date(path: Path, results: Sequence[TrainingResult], *parts: Path) -> bool:
    """Return True if a file is newer than these training results and than the files in `parts`.

    An older file describes weights that have been replaced since.
    """
    try:
        written = path.stat().st_mtime_ns
        made = [(result.folder / _RESULT).stat().st_mtime_ns for result in results]
        return written >= max([*made, *(part.stat().st_mtime_ns for part in parts)])
    except FileNotFoundError:
        return False


def trained_method(folder: Path) -> str | None:
    """Return the method that trained the adapter or the ensemble in a folder, or None if there is none."""
    first = next((path for path in (folder / _RESULT, folder / "member-0" / _RESULT) if path.is_file()), None)
    if first is None:
        return None
    try:
        return str(json.loads(first.read_text(encoding="utf-8"))["method"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trained_quantization(folder: Path) -> str | None:
    """Return the form that the base model was quantized to while its adapter was trained, or None."""
    try:
        found: str | None = json.loads((folder / _RESULT).read_text(encoding="utf-8")).get("quantization")
    except (OSError, ValueError, AttributeError):
        return None
    return found


def by_reason(excluded: Iterable[ExcludedExample]) -> dict[str, int]:
    """Return the number of excluded examples by reason, most frequent first."""
    return dict(Counter(row.reason for row in excluded).most_common())


def write_exclusions(folder: Path, excluded: Mapping[str, Sequence[ExcludedExample]]) -> Path | None:
    """List the excluded examples and their reasons, one per line; return the file, or None without any.

    Args:
        folder: folder of the file; a file with the same content is not rewritten.
        excluded: excluded examples by stage.
    """
    path = folder / EXCLUSIONS
    exclusions = (_exclusion(stage, row) for stage, rows in excluded.items() for row in rows)
    content = "".join(exclusion.to_line() for exclusion in exclusions)
    with os_errors(path):
        if not content:
            path.unlink(missing_ok=True)
            return None
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            write_atomic(path, content)
    return path


def _exclusion(stage: str, row: ExcludedExample) -> Exclusion:
    """Return the record of an excluded row; surrogates, which UTF-8 cannot encode, are written as escapes."""
    place, detail = (text.encode("utf-8", "backslashreplace").decode() for text in (row.id, row.detail))
    return Exclusion.of(stage, place, row.reason, detail)


def _spent(result: TrainingResult) -> float:
    """Return the duration of a training in seconds, also if an earlier process did it."""
    seconds: float = json.loads((result.folder / _RESULT).read_text(encoding="utf-8"))["seconds"]
    return seconds


def _loadable(job: TrainingJob) -> str:
    """Return the base model as a name or folder that transformers can load."""
    files = locate(job.policy)
    return str(files.folder) if files.name == EMBEDDED_NAME else job.policy.id


def _settings(job: TrainingJob, section: BaseModel) -> dict[str, Any]:
    """Return all settings of a training: those that are looked for and the changed ones first.

    Defaults of settings that affect only speed and memory are left out.
    """
    named = {job.method: section, "optim": job.optim} | ({"lora": job.adapter} if job.adapter else {})
    asked = {
        f"{job.method}.learning_rate": job.learning_rate,
        "optim.epochs": job.epochs,
        "optim.batch_size": job.optim.batch_size,
        **({"lora.r": job.adapter.r} if job.adapter else {}),
        "seed": job.seed,
    }
    changed, rest = _values_of(named, changed=True), _values_of(named, changed=False)
    quantization = job.policy.quantization
    model = {"models.policy.dtype": job.policy.dtype, "engine.device": job.device}
    quantized = {"quantization": quantization} if quantization else {}
    return {**asked, **changed, **quantized, **{k: v for k, v in rest.items() if k not in asked}, **model}


def _values_of(sections: Mapping[str, BaseModel], *, changed: bool) -> dict[str, Any]:
    """Return the settings with another value than their default, or those with it."""
    found: dict[str, Any] = {}
    for name, section in sections.items():
        values, other = section.model_dump(mode="json"), section.model_dump(exclude_defaults=True)
        for key, value in values.items():
            marks = type(section).model_fields[key].json_schema_extra
            operational = isinstance(marks, dict) and bool(marks.get("operational"))
            if (key in other) == changed and (changed or not operational):
                found[f"{name}.{key}"] = value
    return found


def _metrics(evaluation: Mapping[str, Any]) -> list[Metric]:
    names = ("accuracy", "nll", "excess_nll", "brier")
    return [Metric.model_validate(evaluation[name]) for name in names if evaluation.get(name)]


def report_training(
    method: str, results: Sequence[TrainingResult], evaluation: dict[str, Any] | None
) -> None:
    """Print the notes and warnings about a trained model."""
    for result in results:
        if result.truncated:
            cut = "1 prompt was" if result.truncated == 1 else f"{result.truncated:,} prompts were"
            note(f"{method}: {cut} truncated from the left to fit optim.max_length")
        if result.best_step is not None:
            note(f"{method}: saved the weights of step {result.best_step} of {result.steps}")
    if method == "reward" and evaluation is None:
        note("reward: no pairs were held out, so nothing is evaluated and the temperature stays 1")
    if evaluation is not None:
        doubt = temperature_doubt(evaluation["calibration"]["temperature"], evaluation["n"])
        if doubt:
            note(f"reward: the temperature stays 1: {doubt}")
    warnings = {warning for result in results for warning in result.warnings}
    for warning in [*sorted(warnings), *((evaluation or {}).get("warnings") or ())]:
        warn(f"{method}: {warning}")
