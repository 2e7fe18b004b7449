"""How the answers and labels of a run were made, as lines of the card: settings, and how far people agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.notices import counted
from core.records import Sampling
from core.text.documents import code_span
from labelers.ai import AI_LABELER
from labelers.check import CHECK_LABELER
from labelers.config import LabelConfig
from labelers.crowd.votes import MACHINES
from publius.config.run_file import RunConfig
from publius.runs.manifest import has_given_answers
from publius.runs.pairs.labelled_by import LabelSourceCounts
from publius.runs.pairs.people import PeopleTogether, alpha_in_words

_WRITTEN = ("reasoned", "rubric")
"""Modes in which the labeler writes before its verdict."""


def how_labelled(config: RunConfig, sources: list[LabelSourceCounts], people: PeopleTogether) -> list[str]:
    """Return lines on how labels were made.

    Args:
        config: the run's settings.
        sources: who labelled it.
        people: the human judgments together.
    """
    label, names = config.label, {one.source for one in sources}
    lines = []
    if AI_LABELER in names:
        lines.append(_asked(label))
    if CHECK_LABELER in names:
        lines.append(
            f"Machine checks: an answer that passes is better than one that fails, with a probability of "
            f"{label.check_confidence:g} (`label.check_confidence`)."
        )
    if names - MACHINES:
        lines += [_mixed(label), *_agreement(people)]
    return lines


def how_sampled(config: RunConfig, manifest: Mapping[str, Any]) -> list[str]:
    """Return lines on how the answers were drawn, of the stages that the run has."""
    if has_given_answers(manifest):
        return []
    found: dict[str, Sampling] = {}
    stages, loop, compare = manifest["stages"], config.critique, config.compare
    if stages.get("critique", {}).get("records"):
        found["critique.draft"] = loop.draft
        if loop.rounds:
            found |= {"critique.critique": loop.critique, "critique.revision": loop.revision}
    if "sample" in stages:
        found["sample.sampling"] = config.sample.sampling
    if "compare" in stages and compare.source not in ("revisions", "samples"):
        found["compare.sampling"] = compare.sampling
    return [f"{code_span(name)}: {_sampling(sampling)}" for name, sampling in found.items()]


def _asked(label: LabelConfig) -> str:
    number = "all principles"
    if label.principles != "all":
        number = f"{counted(label.principles, 'principle')}, drawn by weight"
    line = (
        f"AI labeler: mode `{label.mode}`; each pair under {number}, as far as they have no machine check "
        "and are for its prompt."
    )
    if label.mode in _WRITTEN:
        line += f" Its texts: {_sampling(label.verdict)}."
    return line


def _mixed(label: LabelConfig) -> str:
    line = f"People and machines: mix `{label.mix}`, aggregation `{label.aggregation}`"
    if label.weights:
        weights = (f"{code_span(name)} {weight:g}" for name, weight in sorted(label.weights.items()))
        line += f", weights of sources: {', '.join(weights)}"
    if label.rules:
        line += f"; {counted(len(label.rules), 'rule')} before the mix (`label.rules`)"
    return f"{line}."


def _agreement(people: PeopleTogether) -> list[str]:
    found, lines = people.agreement, []
    if found is None:
        lines.append("Agreement of people: not known, as no pair was judged by two of them.")
    else:
        alpha = f"Krippendorff's alpha {alpha_in_words(found.alpha)}" if found.alpha else "alpha undefined"
        lines.append(
            f"Agreement of people: {counted(found.comparisons, 'pair')} judged by two or more of "
            f"{found.annotators:,}; two of them made the same choice in {found.observed.value:.0%} of the "
            f"cases; {alpha}."
        )
    if people.contradicting:
        lines.append(
            f"Conflicting votes: {counted(people.contradicting, 'judgment')} against another of the same "
            "person on the same pair; the mean counts."
        )
    return lines


def _sampling(sampling: Sampling) -> str:
    line = f"temperature {sampling.temperature:g}, at most {counted(sampling.max_new_tokens, 'token')}"
    if sampling.top_p < 1:
        line += f", top_p {sampling.top_p:g}"
    return line + (f", top_k {sampling.top_k}" if sampling.top_k else "")
