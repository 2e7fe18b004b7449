"""`publius export`: write a run as a data set that `datasets.load_dataset` reads, with a data set card.

Configurations: `sft` (final answers), `preference` (TRL's columns, without ties), `kto` (the answers of these
pairs in TRL's unpaired columns), `soft` (with probability and weight, including ties), `judgments` (one row
per judgment) and, if the run has them, `samples` (scored answers). Rows are split into train and test by
prompt; prompts that resemble each other are in one split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.notices import counted
from core.records import CritiqueTrace, Generation, Judgment, Message, Preference, Prompt, ScoredAnswer
from core.store.files import os_errors, whole_folder, write_atomic
from core.text.yaml_writing import yaml_text
from critique.best_of import best_answers
from evaluation.gates.recorded import require_gates
from labelers.ai import AI_LABELER
from labelers.crowd.votes import MACHINES
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.config.stand_ins import warn_of_stand_ins
from publius.runs.exporting.splitting import (
    NEAR_ALONE,
    SPLITS,
    TEMPLATE_TWINS,
    StayTogether,
    TestSplit,
    require_test_share,
)
from publius.runs.exporting.unpaired import UnpairedAnswers, preferences_by_prompt
from publius.runs.inputs import CONSTITUTION, read_input
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import asked_models, caveats, scripted_roles
from publius.runs.pairs.data_card import DataCardFacts, data_card, is_given_pairs
from publius.runs.pairs.data_files import DataForm, Feature, open_data_file
from publius.runs.pairs.filters import NO_FILTER, PreferenceFilter
from publius.runs.pairs.label_metrics import label_metrics
from publius.runs.pairs.labelled_by import LabelledBy
from publius.runs.pairs.labelling import how_labelled, how_sampled
from publius.runs.pairs.origins import where_from
from publius.runs.pairs.people import outvoted_caveats, people_together, read_people
from publius.runs.pairs.selection import RowSelection
from publius.runs.pairs.unlabelled import require_preferences
from publius.runs.parts.audited import audit_of, other_wording
from publius.runs.reader import RunReader
from publius.runs.records import RunFiles
from publius.sources.prompt_survey import columns_of_votes

_Row = dict[str, Any]
_Sample = tuple[tuple[Message, ...], _Row]
"""A row, and the prompt that determines its split."""

OWN_COLUMNS = "prompt_columns"
"""Column of an exported row with the user's own columns of its prompt, so that no name can collide."""
_TIME = re.compile(r"\s*\d{4}-\d{2}-\d{2}")
"""Beginning of a text that Arrow may take for a time."""


def _typed(columns: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": dtype} for name, dtype in columns.items()]


_CONVERSATION = _typed({"role": "string", "content": "string"})
_ANSWERED = [{"name": name, "list": _CONVERSATION} for name in ("prompt", "completion")]
_HARD = [{"name": name, "list": _CONVERSATION} for name in ("prompt", "chosen", "rejected")]
_TAGS = {"name": "tags", "list": "string"}
_FEATURES: dict[str, list[dict[str, Any]]] = {
    "sft": [*_ANSWERED, *_typed({"origin": "string"}), _TAGS],
    "preference": [*_HARD, _TAGS, *_typed({"comparison_id": "string"})],
    "kto": [
        *_ANSWERED,
        *_typed({"label": "bool", "p_better": "float64", "origin": "string"}),
        _TAGS,
        {"name": "comparison_ids", "list": "string"},
    ],
    "soft": [
        *_HARD,
        *_typed({"p_chosen": "float64", "weight": "float64"}),
        {"name": "by_principle", "list": _typed({"principle": "string", "p_chosen": "float64"})},
        {"name": "sources", "list": "string"},
        *_typed({"origin_chosen": "string", "origin_rejected": "string"}),
        _TAGS,
        *_typed({"comparison_id": "string", "constitution_digest": "string"}),
    ],
    "judgments": [
        *_typed({"comparison_id": "string"}),
        {"name": "prompt", "list": _CONVERSATION},
        *_typed(dict.fromkeys(("response_a", "response_b", "labeler", "model", "principle"), "string")),
        *_typed({"verdict": "string", "p_a": "float64"}),
        *_typed({"log_odds_a_shown_first": "float64", "log_odds_a_shown_second": "float64"}),
        *_typed({"answer_mass": "float64"}),
        _TAGS,
    ],
    "samples": [
        *_ANSWERED,
        *_typed({"origin": "string", "score": "float64", "passed": "bool", "finished": "bool"}),
        {"name": "by_principle", "list": _typed({"principle": "string", "score": "float64"})},
        _TAGS,
    ],
}
"""Columns of each configuration and their types, in the form of a data set card."""
CONFIGURATIONS = tuple(_FEATURES)
"""Names of the configurations."""


@dataclass(frozen=True)
class ExportedRun:
    """An exported data set."""

    folder: Path
    rows: dict[str, int]
    """Number of rows by configuration."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of rows by configuration and split."""
    prompts: dict[str, int] = field(default_factory=dict)
    """Number of prompts by split."""
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of rows that a filter leaves out, by configuration and reason; of `kto`, the pairs."""
    turned: tuple[str, ...] = ()
    """Sentences about rows whose chosen answer is the one that people voted against."""
    contested: int = 0
    """Number of answers in `kto` that are chosen in one pair and rejected in another."""
    terms: CardTerms = NO_TERMS
    carried: tuple[str, ...] = ()
    """The user's own columns of the prompts or pairs, which each row has."""
    alike: int = 0
    """Number of test prompts that resemble a training prompt by words that many prompts share."""
    alike_from: float = TEMPLATE_TWINS
    """Similarity from which they count, by all their letter grams."""
    together: str = ""
    """Which prompts are in one split beside near-duplicates."""
    missed: str = ""
    """A sentence if the test split has not the share that was asked for."""
    audited_otherwise: str = ""
    """A sentence if the labeler was audited under another wording of the constitution."""
    is_unaudited: bool = False
    """True if a model labelled pairs, and no audit of it was found."""

    def as_json(self) -> dict[str, int]:
        """Return the number of rows by configuration."""
        return self.rows


def export_run(
    run: Path,
    to: Path,
    *,
    force: bool = False,
    conditions: PreferenceFilter = NO_FILTER,
    terms: CardTerms = NO_TERMS,
    form: DataForm = "jsonl",
    test_share: float | None = None,
    together: StayTogether = NEAR_ALONE,
) -> ExportedRun:
    """Write a run's data set to a new or empty folder; return the number of rows per configuration.

    Args:
        run: a run folder.
        to: a new or empty folder.
        force: True to export a run that failed a gate.
        conditions: the preferences to export; all if not given.
        terms: the licence and the languages that the card states.
        form: the form of the data files, which have the same rows and columns in each.
        test_share: share of the prompts in the test split, 0 for none; if not given, 0.1 on average, or 0 if
            the run holds out no prompts.
        together: which prompts are in one split beside near-duplicates.

    Raises:
        RunStateError: if the run has no preferences yet or nothing to export, or failed a gate, or the folder
            is not empty.
        ConfigError: if a principle of the conditions is unknown, or the share is not one.
        DataError: if no preference passes.
    """
    require_test_share(test_share)
    manifest = read_manifest(run)
    if "aggregate" not in manifest["stages"]:
        require_preferences(run, manifest)
    failed = require_gates(run, force=force)
    constitution = read_input(run / CONSTITUTION)
    manifest["audit"] = audit_of(run, manifest)
    with whole_folder(to) as folder, RunReader(run) as files:
        carried: dict[str, str] = manifest.get("prompts", {}).get("carried", {})
        of_votes = columns_of_votes(carried)  # an older version carried them
        carried = {name: dtype for name, dtype in carried.items() if name not in of_votes}
        together.check(carried)
        selection = _selection(files, conditions)
        labellers, unpaired = LabelledBy(), UnpairedAnswers()
        rows = _all_rows(files, carried, selection, labellers, unpaired)
        holds_out = bool(files.config.split.test)
        passing = (p.prompt for p in files.preferences if conditions.reason(p) is None)
        with TestSplit(files, test_share, passing, holds_out=holds_out, together=together) as test_split:
            counts = {
                name: _write(folder / name, config, test_split, form, _columns(name, carried))
                for name, config in rows.items()
            }
            alike = test_split.alike()
        if not any(counts.values()):
            require_preferences(run, manifest)
        manifest["not_exported"] = {f"export of {name}": dict(n) for name, n in selection.left_out.items()}
        stand_ins = scripted_roles(run, manifest)
        warn_of_stand_ins(stand_ins)
        sources = labellers.sources()
        has_people = any(one.source not in MACHINES for one in sources)
        people = read_people(run) if has_people else people_together(())
        ai_labels = any(judgment.labeler == AI_LABELER for judgment in files.judgments)
        facts = DataCardFacts(
            run.resolve().name,
            counts,
            test_split.prompts,
            alike,
            test_split.alike_from,
            together.in_words(),
            test_split.missed(),
            "" if test_split.is_exact else f"{test_split.share:.3g}",
            _features(counts, carried if form == "parquet" else _loaded_as_written(files, carried)),
            OWN_COLUMNS,
            list(carried),
            sources,
            [*how_labelled(files.config, sources, people), *_contested_in_words(unpaired.contested)],
            how_sampled(files.config, manifest),
            models=asked_models(run, manifest),
            ai_labels=ai_labels,
            failed_gates=failed,
            stand_ins=stand_ins,
            where_from=where_from(files, manifest, is_given=is_given_pairs(manifest)),
            has_people=has_people or len(files.added_comparisons) > 0,
            caveats=caveats(run, manifest, label_metrics(run), scripted=False),
            terms=terms,
            form=form,
        )
        write_atomic(folder / CONSTITUTION, constitution)
        write_atomic(folder / "README.md", data_card(manifest, constitution, facts))
    total = {name: sum(splits.values()) for name, splits in counts.items()}
    left_out = {name: dict(n) for name, n in selection.left_out.items()}
    return ExportedRun(
        to,
        total,
        counts,
        test_split.prompts,
        left_out,
        outvoted_caveats(run, conditions.sources),
        unpaired.contested,
        terms,
        carried=tuple(carried),
        alike=alike,
        alike_from=test_split.alike_from,
        together=together.in_words(),
        missed=test_split.missed(),
        audited_otherwise=other_wording(manifest) if ai_labels else "",
        is_unaudited=ai_labels and not manifest["audit"] and "labeler" not in stand_ins,
    )


def _selection(files: RunReader, conditions: PreferenceFilter) -> RowSelection:
    if conditions:
        conditions.require_known(files.constitution)
    return RowSelection(conditions, files.preferences)


def _all_rows(
    files: RunReader,
    carried: Collection[str],
    selection: RowSelection,
    labellers: LabelledBy,
    unpaired: UnpairedAnswers,
) -> dict[str, Iterator[_Sample]]:
    """Return the rows of each configuration.

    Args:
        files: the run's records.
        carried: the user's own columns of the prompts.
        selection: which rows.
        labellers: counts the judgments.
        unpaired: labels single answers, and counts those with contradictory labels.
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
            (p.prompt, {**_hard(p), **_joined(p), **own(p.comparison_id, p.prompt_id)})
            for p in selection.of("preference", preferences.sorted())
            if p.p_chosen > 0.5
        ),
        "kto": _unpaired(files, selection, unpaired, own),
        "soft": (
            (p.prompt, {**_soft(p), **own(p.comparison_id, p.prompt_id)})
            for p in selection.of("soft", preferences.sorted())
        ),
        "judgments": _judgments(
            files, labellers.passing(selection.of("judgments", files.judgments.sorted())), own
        ),
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
            row = {
                **_answered(trace.prompt, answers[-1]),
                "origin": f"revision:{last}",
                **_tags(trace.prompt),
            }
            yield trace.prompt.messages, {**row, **own(trace.prompt.id)}


def _best_of_k(
    files: RunFiles, own: Callable[..., _Row], count: int, selection: RowSelection
) -> Iterator[_Sample]:
    """Yield the answers that SFT learns from the samples."""
    for prompt in files.prompts.sorted():
        best = best_answers(list(files.samples.children(prompt.id)), count) if prompt.split == "train" else ""
        for sample in selection.of("sft", () if isinstance(best, str) else best):
            row = {**_answered(prompt, sample.answer), "origin": sample.origin, **_tags(prompt)}
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
            **_tags(sample.prompt),
        }
        yield sample.prompt.messages, {**row, **own(sample.prompt.id)}


def _tags(prompt: Prompt) -> _Row:
    return {"tags": list(prompt.tags)}


def _joined(preference: Preference) -> _Row:
    """Return what joins a pair with its rows in other configurations."""
    return {"tags": list(preference.tags), "comparison_id": preference.comparison_id}


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


def _unpaired(
    files: RunFiles, selection: RowSelection, unpaired: UnpairedAnswers, own: Callable[..., _Row]
) -> Iterator[_Sample]:
    for preferences in preferences_by_prompt(files):
        for answer in unpaired.of(selection.of("kto", preferences)):
            row = {
                "prompt": _messages_as_json(answer.prompt),
                "completion": _messages_as_json(answer.completion),
                "label": answer.is_good,
                "p_better": answer.p_better,
                "origin": answer.origin,
                "tags": list(answer.tags),
                "comparison_ids": list(answer.comparison_ids),
            }
            yield answer.prompt, {**row, **own(answer.comparison_ids[0], answer.prompt_id)}
    if unpaired.left_out:
        selection.left_out.setdefault("kto", Counter()).update(unpaired.left_out)


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
                **_tags(comparison.prompt),
                **own(comparison.id, comparison.prompt.id),
            },
        )


def _contested_in_words(contested: int) -> list[str]:
    if not contested:
        return []
    verb = "is" if contested == 1 else "are"
    what = "chosen in one pair and rejected in another, and labelled by the mean probability"
    return [f"`kto`: {counted(contested, 'answer')} {verb} {what}."]


def _messages_as_json(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _write(
    folder: Path,
    rows: Iterator[_Sample],
    test_split: TestSplit,
    form: DataForm,
    columns: Sequence[Feature],
) -> dict[str, int]:
    """Write rows to `train.jsonl` and `test.jsonl`, or `.parquet`; return the number of rows per split."""
    counts: Counter[str] = Counter()
    with os_errors(folder):
        folder.mkdir()
        paths = {split: folder / f"{split}.{form}" for split in SPLITS}
        files = {split: open_data_file(path, form, columns) for split, path in paths.items()}
        try:
            for messages, row in rows:
                split = test_split.split_of(messages)
                files[split].write(row)
                counts[split] += 1
        finally:
            for file in files.values():
                file.close()
        for split, path in paths.items():
            if not counts[split]:
                path.unlink()
        if not counts:
            folder.rmdir()
    return dict(counts)


def _features(counts: dict[str, dict[str, int]], carried: Mapping[str, str]) -> str:
    """Return the types of all columns for the card's header, as `datasets` writes them.

    Without them, `datasets` takes the types from the first rows of each file, and fails if those are empty.
    """
    listed = [
        {"config_name": name, "features": _columns(name, carried)}
        for name, splits in counts.items()
        if splits
    ]
    return yaml_text({"dataset_info": listed})


def _columns(name: str, carried: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the columns of a configuration with their types; those of the user are one column."""
    own = [{"name": OWN_COLUMNS, "struct": _typed(carried)}] if carried else []
    return [*_FEATURES[name], *own]
