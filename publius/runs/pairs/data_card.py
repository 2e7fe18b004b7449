"""The card of an exported data set: what is in it, who labelled it, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.text.documents import code_span, document_template, escaped, fenced
from core.text.yaml_writing import yaml_text
from evaluation.judges.report import audit_card
from labelers.crowd.votes import MACHINES
from publius.config.card_terms import CardTerms
from publius.config.stand_ins import stand_ins_section
from publius.runs.manifest import has_given_answers
from publius.runs.pairs.data_files import DataForm
from publius.runs.pairs.labelled_by import LabelSourceCounts
from publius.runs.pairs.unpaired import all_left_out


@dataclass(frozen=True)
class DataCardFacts:
    """What the card of a data set says beside its run's manifest."""

    run: str
    counts: Mapping[str, Mapping[str, int]]
    """Number of rows by configuration and split."""
    prompts: Mapping[str, int]
    """Number of prompts by split."""
    alike: int
    """Number of test prompts that resemble a training prompt by words that many prompts share."""
    alike_from: float
    """Similarity from which they count."""
    together: str
    """Which prompts are in one split beside near-duplicates; empty without any."""
    missed: str
    """A sentence if the test split has not the share that was asked for."""
    mean_test_share: str
    """Share of the prompts in the test split on average; empty if it is the one that was asked for."""
    features: str
    """The types of all columns, as YAML."""
    own_columns: str
    """Column of the user's own columns."""
    carried: Sequence[str]
    """The user's own columns."""
    labelled_by: Sequence[LabelSourceCounts]
    how_labelled: Sequence[str]
    """Lines on how labels were made, as Markdown."""
    how_sampled: Sequence[str]
    """Lines on how answers were drawn, as Markdown."""
    where_from: Sequence[str]
    """Lines on where prompts, given answers and human labels are from, as Markdown."""
    models: Mapping[str, str]
    """The model of each role that wrote or judged something in the run."""
    has_people: bool
    """True if some labels are people's, or some answers came with them."""
    ai_labels: bool
    failed_gates: Sequence[str]
    stand_ins: Sequence[str]
    caveats: Sequence[str]
    terms: CardTerms
    form: DataForm
    """Ending of the data files' names."""


def data_card(manifest: dict[str, Any], constitution: str, facts: DataCardFacts) -> str:
    """Return the card in Markdown. Names and texts of users are escaped and never rendered as templates."""
    excluded = all_left_out(manifest) | manifest["not_exported"]
    is_given = is_given_pairs(manifest)
    models = _models(facts.models)
    return document_template("publius", "card.md.j2").render(
        manifest=manifest,
        constitution=fenced(constitution.rstrip(), "yaml"),
        models=models,
        is_given=is_given,
        counts={name: splits for name, splits in facts.counts.items() if splits},
        excluded=excluded,
        prompts=facts.prompts,
        alike=facts.alike,
        alike_from=f"{facts.alike_from:g}",
        together=escaped(facts.together),
        missed=escaped(facts.missed),
        mean_test_share=facts.mean_test_share,
        own_columns=facts.own_columns,
        carried=[code_span(name) for name in facts.carried],
        header=yaml_text(fields) if (fields := facts.terms.fields()) else "",
        stated=_stated(facts.terms, models),
        features=facts.features,
        form=facts.form,
        run=facts.run,
        labelled_by=[
            (code_span(one.source), f"{one.judgments:,}", f"{len(one.comparisons):,}", escaped(one.who))
            for one in facts.labelled_by
        ],
        how_labelled=facts.how_labelled,
        how_sampled=facts.how_sampled,
        where_from=facts.where_from,
        is_synthetic=not is_given and not facts.has_people,
        of_whom=of_whom(facts.labelled_by),
        audit=manifest["audit"] and audit_card(manifest["audit"]),
        ai_labels=facts.ai_labels,
        failed_gates=list(map(escaped, facts.failed_gates)),
        stand_ins=stand_ins_section(facts.stand_ins),
        caveats=list(map(escaped, facts.caveats)),
    )


def of_whom(sources: Sequence[LabelSourceCounts]) -> str:
    """Return whose labels were brought: people's or models'."""
    brought = [one.is_people for one in sources if one.source not in MACHINES]
    if not brought or all(brought):
        return "people"
    return "people and models" if any(brought) else "models"


def is_given_pairs(manifest: Mapping[str, Any]) -> bool:
    """Return True if the answers are pairs of the user's own, and not from this run or another one."""
    return has_given_answers(manifest) and "rows" in (manifest.get("prompts") or {})


def _models(models: Mapping[str, str]) -> dict[str, str]:
    """Return the models without folders: a path means nothing elsewhere, and shows who has it and where."""
    return {role: Path(name).name if Path(name).is_absolute() else name for role, name in models.items()}


def _stated(terms: CardTerms, models: Mapping[str, str]) -> str:
    """Return the sentences about licence and language."""
    found = [f"Licence: `{terms.license}`." if terms.license else "No licence is stated."]
    if terms.languages:
        found.append(f"Language: {', '.join(terms.languages)}.")
    if models:
        found.append("Check the licences of these models before you use their output.")
    return " ".join(found)
