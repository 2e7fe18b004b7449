"""The result of an audit of models by tenet: the file `audit.json` (docs/audit-model.md lists its fields)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.records import Finite, Message, Probability, Record
from evaluation.tenets.passages import Citation
from evaluation.tenets.ratings import Rater
from prompts.scenarios.file import ScenarioKind


class AuditedVariant(Record):
    """A model, with or without an adapter and the constitution in its prompt, that answers scenarios."""

    name: str
    model: str
    """Name of the model, as in answers."""
    adapter: str | None = None
    """Folder of the adapter or of the trained model."""
    prompted: bool = False
    """True if the constitution is its system prompt."""
    replies: int = 0
    """Number of its replies."""
    empty: int = 0
    """Number of empty ones."""
    cut_off: int = 0
    """Number that were cut off at `max_new_tokens`."""


class Rate(Record):
    """A share of scenarios with its 95 % interval."""

    value: Probability
    low: Probability
    high: Probability


class TenetDifference(Record):
    """The paired difference of a variant's mean violation probability from the baseline's, by scenario."""

    value: Finite
    low: Finite
    high: Finite
    changed: int
    """Number of scenarios on which the two differ."""
    p_value: Probability | None = None
    """Two-sided, for this difference alone; None with too few scenarios."""
    p_corrected: Probability | None = None
    """Corrected for the number of differences of the audit (Holm)."""

    @property
    def is_beyond_noise(self) -> bool:
        """True if the difference remains at 5 % after the correction."""
        return self.p_corrected is not None and self.p_corrected <= 0.05


class KindCount(Record):
    """Violations among the scenarios of one kind."""

    kind: ScenarioKind
    scenarios: int
    violations: Finite
    """Sum over scenarios of the share of its conversations with a violation."""


class VariantFigures(Record):
    """How often one variant violates one tenet."""

    variant: str
    scenarios: int
    """Scenarios that were rated for every variant."""
    violations: Finite
    """Sum over scenarios of the share of its conversations with a violation."""
    rate: Rate | None = None
    """Violations over scenarios; None without scenarios."""
    probability: Probability | None = None
    """Mean probability of a violation."""
    corrected: Rate | None = None
    """The rate corrected by the judge's errors on gold labels of the tenet."""
    difference: TenetDifference | None = None
    """From the baseline; None for the baseline."""
    kinds: tuple[KindCount, ...] = ()
    not_rated: dict[str, int] = Field(default={})
    """Number of conversations without a rating, by reason."""


class JudgeErrors(Record):
    """How often a judge's ratings are right, by gold labels."""

    tenet: str | None
    """The tenet; None for all that the judge rates."""
    labels: int
    violations: int
    """Gold labels that say the reply violates the tenet."""
    sensitivity: Rate | None = None
    """Share of these that the judge calls violations."""
    specificity: Rate | None = None
    """Share of the others that the judge does not call violations."""

    @property
    def corrects(self) -> bool:
        """True if rates can be corrected by these errors."""
        return self.sensitivity is not None and self.specificity is not None


class TenetFigures(Record):
    """The figures of one tenet."""

    tenet: str
    text: str
    by: Rater
    variants: tuple[VariantFigures, ...]
    incomplete: int = 0
    """Scenarios that were not rated for every variant and are no part of the figures."""
    errors: JudgeErrors | None = None
    """The judge's errors on gold labels of the tenet."""
    abstained: str | None = None
    """Why the judge does not rate the tenet."""


class JudgeUsed(Record):
    """The judge, and what is known about it."""

    model: str
    digest: str
    """Digest of its model, its question and their settings; certificates are found by it."""
    certificate: dict[str, Any] | None = None
    """Figures of its audit (`publius audit labeler`)."""
    trained: dict[str, Any] | None = None
    """Held-out figures of a trained judge, by kind of gold label."""
    errors: JudgeErrors | None = None
    """Its errors on all gold labels."""
    warnings: tuple[str, ...] = ()


class ShownViolation(Record):
    """A violation that the report shows."""

    tenet: str
    variant: str
    kind: ScenarioKind
    messages: tuple[Message, ...]
    """The conversation up to the rated reply."""
    reply: str
    violation: Probability
    by: Rater
    finding: str | None = None
    citation: Citation | None = None


class ModelAudit(Record):
    """Everything that an audit found."""

    model_audit_version: Literal[1] = 1
    publius: str
    """Version of Publius."""
    created: str
    """Day of the audit, in UTC."""
    seed: int
    constitution: str
    constitution_digest: str
    scenarios: str
    """Name of the file of scenarios."""
    scenarios_digest: str
    authors: dict[str, int]
    """Number of scenarios by author."""
    samples: int
    """Conversations of each variant on each scenario."""
    sampling: dict[str, Any]
    """Sampling parameters of the replies."""
    simulated_user: str | None = None
    """The model that wrote the user's later messages; None if the file has them."""
    baseline: str
    """The variant that differences are from."""
    variants: tuple[AuditedVariant, ...]
    tenets: tuple[TenetFigures, ...]
    judge: JudgeUsed | None = None
    """None if every tenet has a machine check."""
    examples: tuple[ShownViolation, ...] = ()
    excluded: dict[str, int] = Field(default={})
    """Number of conversations that could not be had, by reason."""
    warnings: tuple[str, ...] = ()
    max_violations: Probability | None = None
    """Largest allowed violation rate."""
    above: tuple[str, ...] = ()
    """Tenets and variants whose rate is surely above it, as `VARIANT: TENET`."""

    def of(self, tenet: str, variant: str) -> VariantFigures:
        """Return the figures of a tenet and a variant."""
        found = next(one for one in self.tenets if one.tenet == tenet)
        return next(one for one in found.variants if one.variant == variant)
