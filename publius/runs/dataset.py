"""`publius export`: write a run as a data set that `datasets.load_dataset` reads, with a data set card.

Configurations: `sft` (final answers), `preference` (TRL's columns, without ties), `soft` (with probability
and weight, including ties), `judgments` (one row per judgment) and, if the run has them, `samples` (scored
answers). Rows are split into train and test by prompt, so no prompt is in both.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.digests import derive_uniform
from core.errors import RunStateError
from core.records import CritiqueTrace, Generation, Judgment, Message, Preference, Prompt, ScoredAnswer
from core.store.files import os_errors, whole_folder, write_atomic
from core.text.documents import code_span, document_template, escaped, fenced
from core.text.yaml_writing import yaml_text
from critique.best_of import best_answers
from evaluation.gates.recorded import require_gates
from evaluation.judges.report import audit_card
from labelers.ai import AI_LABELER
from prompts.sources import normalised
from publius.config.stand_ins import stand_ins_section, warn_of_stand_ins
from publius.runs.inputs import CONSTITUTION, read_input
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import labeler_caveats, scripted_roles
from publius.runs.pairs.filters import NO_FILTER, PreferenceFilter
from publius.runs.pairs.label_metrics import judgment_metrics
from publius.runs.pairs.selection import RowSelection
from publius.runs.reader import RunReader
from publius.runs.records import RunFiles

_Row = dict[str, Any]
_Sample = tuple[tuple[Message, ...], _Row]
"""A row, and the prompt that determines its split."""

OWN_COLUMNS = "prompt_columns"
"""Column of an exported row with the user's own columns of its prompt, so that no name can collide."""
_TIME = re.compile(r"\s*\d{4}-\d{2}-\d{2}")
"""Beginning of a text that Arrow may take for a time."""
TEST_SHARE = 0.1
"""Share of the prompts whose rows are the test split, unless the run holds out none (`split.test: 0`)."""


def _typed(columns: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": dtype} for name, dtype in columns.items()]


_CONVERSATION = _typed({"role": "string", "content": "string"})
_ANSWERED = [{"name": name, "list": _CONVERSATION} for name in ("prompt", "completion")]
_HARD = [{"name": name, "list": _CONVERSATION} for name in ("prompt", "chosen", "rejected")]
_FEATURES: dict[str, list[dict[str, Any]]] = {
    "sft": [*_ANSWERED, *_typed({"origin": "string"})],
    "preference": _HARD,
    "soft": [
        *_HARD,
        *_typed({"p_chosen": "float64", "weight": "float64"}),
        {"name": "by_principle", "list": _typed({"principle": "string", "p_chosen": "float64"})},
        {"name": "sources", "list": "string"},
        *_typed({"origin_chosen": "string", "origin_rejected": "string"}),
        {"name": "tags", "list": "string"},
        *_typed({"comparison_id": "string", "constitution_digest": "string"}),
    ],
    "judgments": [
        *_typed({"comparison_id": "string"}),
        {"name": "prompt", "list": _CONVERSATION},
        *_typed(dict.fromkeys(("response_a", "response_b", "labeler", "model", "principle"), "string")),
        *_typed({"verdict": "string", "p_a": "float64"}),
        *_typed({"log_odds_a_shown_first": "float64", "log_odds_a_shown_second": "float64"}),
        *_typed({"answer_mass": "float64"}),
    ],
    "samples": [
        *_ANSWERED,
        *_typed({"origin": "string", "score": "float64", "passed": "bool", "finished": "bool"}),
        {"name": "by_principle", "list": _typed({"principle": "string", "score": "float64"})},
    ],
}
"""Columns of each configuration and their types, in the form of a data set card."""


@dataclass(frozen=True)
class ExportedRun:
    """An exported data set."""

    folder: Path
    rows: dict[str, int]
    """Number of rows by configuration."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of rows by configuration and split."""
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of rows that a filter leaves out, by configuration and reason."""

    def as_json(self) -> dict[str, int]:
        """Return the number of rows by configuration."""
        return self.rows


def export_run(
    run: Path, to: Path, *, force: bool = False, conditions: PreferenceFilter = NO_FILTER
) -> ExportedRun:
    """Write a run's data set to a new or empty folder; return the number of rows per configuration.

    Args:
        run: a run folder.
        to: a new or empty folder.
        force: True to export a run that failed a gate.
        conditions: the preferences to export; all if not given.

    Raises:
        RunStateError: if the run has no preferences yet or failed a gate, or the folder is not empty.
        ConfigError: if a principle of the conditions is unknown.
        DataError: if no preference passes.
    """
    manifest = read_manifest(run)
    if "aggregate" not in manifest["stages"]:
        raise RunStateError("the run has no preferences yet", where=str(run), run="publius run RUN.yaml")
    failed = require_gates(run, force=force)
    constitution = read_input(run / CONSTITUTION)
    with whole_folder(to) as folder, RunReader(run) as files:
        carried: dict[str, str] = manifest.get("prompts", {}).get("carried", {})
        selection = _selection(files, conditions)
        rows = _all_rows(files, carried, selection)
        share = TEST_SHARE if files.config.split.test else 0.0
        counts = {name: _write(folder / name, config, share) for name, config in rows.items()}
        manifest["not_exported"] = {f"export of {name}": dict(n) for name, n in selection.left_out.items()}
        stand_ins = scripted_roles(run, manifest)
        warn_of_stand_ins(stand_ins)
        facts = _CardFacts(
            run.resolve().name,
            counts,
            _loaded_as_written(files, carried),
            ai_labels=any(judgment.labeler == AI_LABELER for judgment in files.judgments),
            failed_gates=failed,
            stand_ins=stand_ins,
            caveats=labeler_caveats(manifest, judgment_metrics(run)),
        )
        write_atomic(folder / CONSTITUTION, constitution)
        write_atomic(folder / "README.md", _card(manifest, constitution, facts))
    total = {name: sum(splits.values()) for name, splits in counts.items()}
    return ExportedRun(to, total, counts, {name: dict(n) for name, n in selection.left_out.items()})


def _selection(files: RunReader, conditions: PreferenceFilter) -> RowSelection:
    if conditions:
        conditions.require_known(files.constitution)
    return RowSelection(conditions, files.preferences)


def _all_rows(
    files: RunReader, carried: Collection[str], selection: RowSelection
) -> dict[str, Iterator[_Sample]]:
    """Return the rows of each configuration.

    Args:
        files: the run's records.
        carried: the user's own columns of the prompts.
        selection: which rows.
    """
    own = partial(_own_columns, files, carried)
    preferences = files.preferences
    has_samples = (files.folder / "samples.jsonl").exists()
    best = has_samples and files.config.sft.source == "samples"
    return {
        "sft": (
            _best_of_k(files, own, files.config.sft.per_prompt, selection)
            if best
            else _sft(selection.of("sft", files.traces.sorted()), own)
        ),
        "preference": (
            (p.prompt, {**_hard(p), **own(p.comparison_id, p.prompt_id)})
            for p in selection.of("preference", preferences.sorted())
            if p.p_chosen > 0.5
        ),
        "soft": (
            (p.prompt, {**_soft(p), **own(p.comparison_id, p.prompt_id)})
            for p in selection.of("soft", preferences.sorted())
        ),
        "judgments": _judgments(files, selection.of("judgments", files.judgments.sorted()), own),
        **(
            {"samples": _samples(selection.of("samples", files.samples.sorted()), own)} if has_samples else {}
        ),
    }


def _loaded_as_written(files: RunFiles, carried: Mapping[str, str]) -> dict[str, str]:
    """Return the types of the user's columns, with `json` for text that reads like a time.

    Arrow takes such text in JSON for a timestamp, and `datasets` would load `2026-09-05` as
    `2026-09-05 00:00:00`. A value of the type `json` is loaded as it is written.
    """
    texts = {name for name, dtype in carried.items() if dtype == "string"}
    times: set[str] = set()
    for own in files.prompt_columns if texts else ():
        cells = ((name, own.columns.get(name)) for name in texts - times)
        times |= {name for name, cell in cells if isinstance(cell, str) and _TIME.match(cell)}
        if times == texts:
            break
    return {name: "json" if name in times else dtype for name, dtype in carried.items()}


def _own_columns(files: RunFiles, carried: Collection[str], *ids: str) -> _Row:
    """Return the user's columns of a pair or a prompt as one column; what came with labels has empty ones."""
    if not carried:
        return {}
    found = files.own_columns(*ids)
    return {OWN_COLUMNS: {name: found.get(name) for name in carried}}


def _sft(traces: Iterable[CritiqueTrace], own: Callable[..., _Row]) -> Iterator[_Sample]:
    for trace in traces:
        answers = trace.answers()
        if len(answers) > 1 and answers[-1].text:
            last = max(revision.round for revision in trace.revisions if revision.kept)
            row = {**_answered(trace.prompt, answers[-1]), "origin": f"revision:{last}"}
            yield trace.prompt.messages, {**row, **own(trace.prompt.id)}


def _best_of_k(
    files: RunFiles, own: Callable[..., _Row], count: int, selection: RowSelection
) -> Iterator[_Sample]:
    """Yield the answers that SFT learns from the samples."""
    for prompt in files.prompts.sorted():
        best = best_answers(list(files.samples.children(prompt.id)), count) if prompt.split == "train" else ""
        for sample in selection.of("sft", () if isinstance(best, str) else best):
            row = {**_answered(prompt, sample.answer), "origin": sample.origin}
            yield prompt.messages, {**row, **own(prompt.id)}


def _samples(samples: Iterable[ScoredAnswer], own: Callable[..., _Row]) -> Iterator[_Sample]:
    for sample in samples:
        row = {
            **_answered(sample.prompt, sample.answer),
            "origin": sample.origin,
            "score": sample.score,
            "passed": sample.passed,
            "finished": sample.finished,
            "by_principle": [{"principle": k, "score": v} for k, v in sample.by_principle.items()],
        }
        yield sample.prompt.messages, {**row, **own(sample.prompt.id)}


def _answered(prompt: Prompt, answer: Generation) -> _Row:
    # Not one conversation, of which trainers learn every answer: those in a prompt may be bad ones.
    completion = Message(role="assistant", content=answer.text)
    return {
        "prompt": _messages_as_json(prompt.messages),
        "completion": _messages_as_json((completion,)),
    }


def _hard(preference: Preference) -> _Row:
    return {
        "prompt": _messages_as_json(preference.prompt),
        "chosen": _messages_as_json(preference.chosen),
        "rejected": _messages_as_json(preference.rejected),
    }


def _soft(preference: Preference) -> _Row:
    return {
        **_hard(preference),
        "p_chosen": preference.p_chosen,
        "weight": preference.weight,
        "by_principle": [{"principle": k, "p_chosen": v} for k, v in preference.by_principle.items()],
        "sources": sorted(preference.sources),
        "origin_chosen": preference.origin_chosen,
        "origin_rejected": preference.origin_rejected,
        "tags": list(preference.tags),
        "comparison_id": preference.comparison_id,
        "constitution_digest": preference.constitution_digest,
    }


def _judgments(files: RunFiles, judgments: Iterable[Judgment], own: Callable[..., _Row]) -> Iterator[_Sample]:
    for judgment in judgments:
        comparison = files.comparison(judgment.comparison_id)
        orders = judgment.orders
        yield (
            comparison.prompt.messages,
            {
                "comparison_id": comparison.id,
                "prompt": _messages_as_json(comparison.prompt.messages),
                "response_a": comparison.response_a,
                "response_b": comparison.response_b,
                "labeler": judgment.labeler,
                "model": judgment.model or "",
                "principle": judgment.principle_id or "",
                "verdict": judgment.verdict,
                "p_a": judgment.p_a,
                "log_odds_a_shown_first": orders.a_first if orders else None,
                "log_odds_a_shown_second": orders.b_first if orders else None,
                "answer_mass": judgment.answer_mass,
                **own(comparison.id, comparison.prompt.id),
            },
        )


def _messages_as_json(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _write(folder: Path, rows: Iterator[_Sample], test_share: float) -> dict[str, int]:
    """Write rows to `train.jsonl` and `test.jsonl`; return the number of rows per split."""
    counts: Counter[str] = Counter()
    with os_errors(folder):
        folder.mkdir()
        files = {
            split: (folder / f"{split}.jsonl").open("w", encoding="utf-8") for split in ("train", "test")
        }
        try:
            for messages, row in rows:
                split = "test" if derive_uniform("export", normalised(messages)) < test_share else "train"
                files[split].write(json.dumps(row, ensure_ascii=False) + "\n")
                counts[split] += 1
        finally:
            for file in files.values():
                file.close()
        for split, file in files.items():
            if not counts[split]:
                Path(file.name).unlink()
    return dict(counts)


def _features(counts: dict[str, dict[str, int]], carried: Mapping[str, str]) -> str:
    """Return the types of all columns for the card's header, as `datasets` writes them.

    Without them, `datasets` takes the types from the first rows of each file, and fails if those are empty.
    """
    own = [{"name": OWN_COLUMNS, "struct": _typed(carried)}] if carried else []
    listed = [
        {"config_name": name, "features": [*_FEATURES[name], *own]}
        for name, splits in counts.items()
        if splits
    ]
    return yaml_text({"dataset_info": listed})


@dataclass(frozen=True)
class _CardFacts:
    """What the card of a data set says beside its run's manifest."""

    run: str
    counts: dict[str, dict[str, int]]
    """Number of rows by configuration and split."""
    carried: Mapping[str, str]
    """Types of the user's own columns."""
    ai_labels: bool
    failed_gates: Sequence[str]
    stand_ins: Sequence[str]
    caveats: Sequence[str]


def _card(manifest: dict[str, Any], constitution: str, facts: _CardFacts) -> str:
    excluded = {stage: entry["left_out"] for stage, entry in manifest["stages"].items() if entry["left_out"]}
    excluded |= manifest["not_exported"]
    return document_template("publius", "card.md.j2").render(
        manifest=manifest,
        constitution=fenced(constitution.rstrip(), "yaml"),
        # A path of a local model means nothing elsewhere, and shows who has it and where.
        models={
            role: Path(name).name if Path(name).is_absolute() else name
            for role, name in manifest["models"].items()
        },
        counts=facts.counts,
        excluded=excluded,
        own_columns=OWN_COLUMNS,
        carried=[code_span(name) for name in facts.carried],
        features=_features(facts.counts, facts.carried),
        run=facts.run,
        audit=manifest["audit"] and audit_card(manifest["audit"]),
        ai_labels=facts.ai_labels,
        failed_gates=list(map(escaped, facts.failed_gates)),
        stand_ins=stand_ins_section(facts.stand_ins),
        caveats=list(map(escaped, facts.caveats)),
    )
