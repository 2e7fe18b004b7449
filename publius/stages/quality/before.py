"""What came before an evaluation: caveats of the run, what each variant learned from, excluded records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.notices import counted
from core.records import Prompt
from core.text.documents import escaped
from publius.models.examples_used import prompt_key, trained_prompts
from publius.models.provenance import examples_of
from publius.runs.folder import Run
from publius.runs.pairs.caveats import caveats
from publius.runs.pairs.label_metrics import label_metrics

_EVALUATION = "eval"


@dataclass(frozen=True)
class BeforeEvaluation:
    """What the report of an evaluation says about the stages before it."""

    caveats: Sequence[str] = ()
    trained_on: Mapping[str, str] = field(default_factory=dict)
    """How many examples each variant learned from, in words."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Number of excluded records by stage and reason."""


def read_before(run: Run, variants: Sequence[str]) -> BeforeEvaluation:
    """Return what came before the evaluation of a run.

    Args:
        run: the run.
        variants: what is evaluated. A variant trained elsewhere has the exclusions of its card.
    """
    used = {variant: found for variant in variants if (found := examples_of(run.folder / variant))}
    stages = run.manifest["stages"]
    excluded = {stage: entry.get("left_out", {}) for stage, entry in stages.items() if stage != _EVALUATION}
    excluded |= {variant: found.excluded for variant, found in used.items() if variant not in stages}
    few = [f"{variant} {found.warning}." for variant, found in used.items() if found.warning]
    labels = label_metrics(run.folder) if "label" in stages else {}
    return BeforeEvaluation(
        [escaped(caveat) for caveat in (*caveats(run.folder, run.manifest, labels), *few)],
        {variant: found.line for variant, found in used.items()},
        {
            f"{stage}: {escaped(reason)}": count
            for stage, reasons in excluded.items()
            for reason, count in reasons.items()
        },
    )


def prompts_trained_on(run: Run, variants: Sequence[str], prompts: Sequence[Prompt]) -> dict[str, int | None]:
    """Return how many of the evaluated prompts each variant from elsewhere was trained on, by variant.

    Prompts are the same if their words are, without case and punctuation. Variants that the run trained
    itself are not in it, as their training and test prompts are apart. None is for a training that records
    no prompts.
    """
    found: dict[str, int | None] = {}
    for variant in variants:
        folder = run.folder / variant
        if not folder.is_symlink():
            continue
        known = trained_prompts(folder)
        same = None if known is None else sum(prompt_key(prompt.messages) in known for prompt in prompts)
        found[variant] = same
    return found


def trained_on_line(variant: str, same: int, prompts: int) -> str:
    """Return in words that a variant was trained on some of the evaluated prompts, without a full stop."""
    return (
        f"{variant} was trained on {same:,} of the {counted(prompts, 'prompt')}: these are not held out, and "
        "say how well it learned them rather than how it answers others"
    )
