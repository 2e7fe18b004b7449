"""The certificate of an audit: what was audited, on what, and what was found. It is the file `audit.json`.

A certificate names a labeler by a digest of everything that determines its answers: the model's identity, the
settings of its questions and the templates. A run finds the certificate of its labeler by that digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from core.digests import digest
from core.records import Metric, Record
from core.store.files import is_there
from evaluation.reward.calibration import Bin
from labelers.correction.correction import LabelerCorrection

CERTIFICATE = "audit.json"
_ON_CARDS = (
    "accuracy",
    "accuracy.matched length",
    "baseline.longest",
    "baseline.bag of words",
    "swap inconsistency",
    "nll",
    "nll corrected",
    "ece",
    "ece noise",
    "planted",
    "examples",
    "checks",
    "injection.shift",
    "injection.shift.naive",
)
"""Metrics that cards of data sets and models show."""
AUDITS = "audits"
"""Folder of a project with one folder for each audit, in which runs look for certificates."""


class LabelerIdentity(Record):
    """Everything that determines what a labeler answers."""

    model: str
    """Name of the model, as in judgments."""
    model_identity: str
    """Digest of everything about the model that affects its answers."""
    mode: str
    """What it is asked, such as `choice` or `pointwise`."""
    settings: dict[str, Any]
    """Settings of its questions."""
    templates: str
    """Digest of the templates of its questions."""
    templates_from: str = "built-in"
    """Where the templates come from; no part of the digest."""

    @property
    def digest(self) -> str:
        """Digest by which runs find a certificate."""
        return digest("labeler", self.model_identity, self.mode, self.settings, self.templates)[:32]

    @property
    def name(self) -> str:
        """Mode and templates, in words."""
        own = "" if self.templates_from == "built-in" else f", templates {self.templates_from}"
        return f"{self.mode}{own}"


class GoldSource(Record):
    """A file or folder of gold labels, and what became of its comparisons."""

    name: str
    digest: str
    """Digest of its content."""
    format: str
    comparisons: int
    excluded: dict[str, int] = Field(default={})
    """Number of rows or comparisons without a gold label, by reason."""


class Cost(Record):
    """What the labels of an audit cost."""

    requests: int
    """Requests to the model, or answers of the request cache."""
    prompt_tokens: int
    completion_tokens: int = 0
    seconds: float | None = None
    """Seconds for the requests that were not in the cache; None if all were."""
    asked: int = 0
    """Requests that were not in the cache."""
    comparisons: int = 0

    @property
    def tokens_each(self) -> float:
        """Tokens for a comparison, of prompts and answers."""
        return (self.prompt_tokens + self.completion_tokens) / max(1, self.comparisons)


class AuditedLabeler(Record):
    """One labeler and what was measured of it."""

    labeler: LabelerIdentity
    metrics: tuple[Metric, ...] = ()
    outcomes: dict[str, int] = Field(default={})
    """Number of judgments by verdict, and of comparisons without a label by reason."""
    cost: Cost | None = None
    reliability: tuple[Bin, ...] = Field(default=(), exclude_if=lambda bins: not bins)
    """Its labels of gold pairs by confidence, for a reliability diagram; empty in older certificates."""
    problems: tuple[str, ...] = ()
    """Why it cannot be relied on; empty if nothing was found against it."""
    refused: str | None = None
    """Why the model cannot be asked in this way; nothing is measured then."""
    not_asked: dict[str, str] = Field(default={}, exclude_if=lambda found: not found)
    """Principles without a check that no gold pair was judged under, each with the reason."""
    correction: LabelerCorrection | None = None
    """The correction that the same gold labels give, as `label.correction` takes it."""
    no_correction: str | None = None
    """Why there is none."""

    def metric(self, name: str) -> Metric | None:
        """Return a metric by its name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class Certificate(Record):
    """The result of one audit."""

    certificate_version: Literal[1] = 1
    publius: str
    """Version of Publius."""
    created: str
    """Day of the audit, in UTC."""
    seed: int
    constitution: str
    """Name of the constitution whose principles were asked about."""
    constitution_digest: str
    gold: tuple[GoldSource, ...] = ()
    rows: int = 0
    """Gold comparisons that were judged, of all in `gold`."""
    tuning: int = 0
    """Comparisons that labelers were compared on; they are no part of the metrics of `audited`."""
    audited: tuple[AuditedLabeler, ...] = Field(min_length=1)
    """The labeler of the run or of the options and, if another one is recommended, that one too."""
    compared: tuple[AuditedLabeler, ...] = ()
    """All labelers on the tuning slice, or on all comparisons where gold is too small (`tuning` is 0)."""
    recommended: str | None = None
    """Digest of the recommended labeler; None if nothing was compared, or gold is too small."""
    min_accuracy: float | None = None
    without_gold: tuple[Metric, ...] = ()
    """Metrics of the first labeler on pairs that need no gold labels."""
    unreliable: tuple[str, ...] = ()
    """Checkable principles that the labeler judges too badly to be asked about them."""
    injections: tuple[Metric, ...] = ()
    """Shifts by injections in replies, of the first labeler and of a naive template."""

    @property
    def fails(self) -> bool:
        """True if something was found against the labeler that was asked for."""
        return bool(self.audited[0].problems)

    def of(self, labeler: str) -> AuditedLabeler | None:
        """Return the audit of a labeler by its digest, or None."""
        return next((one for one in self.audited if one.labeler.digest == labeler), None)

    def figures(self) -> dict[str, Metric]:
        """Return the metrics of the labeler that was asked for, by name."""
        return {m.name: m for m in (*self.audited[0].metrics, *self.without_gold, *self.injections)}

    def as_json(self) -> dict[str, Any]:
        """Return the certificate as JSON-able values."""
        return self.model_dump(mode="json", exclude_none=True)


class FoundAudit(Record):
    """What a certificate says about a labeler, for a run and its cards."""

    folder: str
    certificate: Certificate
    audit: AuditedLabeler

    def summary(self) -> dict[str, Any]:
        """Return the figures that travel with the labels, as JSON-able values."""
        own = self.audit.labeler.digest == self.certificate.audited[0].labeler.digest
        more = (*self.certificate.without_gold, *self.certificate.injections) if own else ()
        metrics = {m.name: m for m in (*self.audit.metrics, *more)}
        bins = [asdict(one) for one in self.audit.reliability]
        return {
            "labeler": self.audit.labeler.digest,
            "model": self.audit.labeler.model,
            "mode": self.audit.labeler.mode,
            "constitution": self.certificate.constitution,
            "constitution_digest": self.certificate.constitution_digest,
            "created": self.certificate.created,
            "gold": [source.name for source in self.certificate.gold],
            "metrics": [metrics[n].model_dump(exclude_none=True) for n in _ON_CARDS if n in metrics],
            "problems": list(self.audit.problems),
            **({"reliability": bins} if bins else {}),
        }


def find_audit(project: Path, labeler: str, constitution: str = "") -> FoundAudit | None:
    """Return the newest audit of a labeler in a project's folder of audits; None if there is none.

    One with gold labels comes before one without, and among those one under the same constitution.

    Args:
        project: folder of the run file.
        labeler: the labeler's digest.
        constitution: digest of the constitution that it labels under, if that is known.
    """
    found = [
        FoundAudit(folder=str(folder), certificate=certificate, audit=audit)
        for folder, certificate in _certificates(project / AUDITS)
        if (audit := certificate.of(labeler)) is not None
    ]

    def rank(one: FoundAudit) -> tuple[bool, bool, str]:
        own = one.certificate
        return bool(own.gold), own.constitution_digest == constitution, own.created

    return max(found, key=rank, default=None)


def read_certificate(path: Path) -> Certificate | None:
    """Return the certificate of a file; None if it is missing, damaged or of another version."""
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _certificates(folder: Path) -> Iterator[tuple[Path, Certificate]]:
    if not is_there(folder):
        return
    for path in sorted(folder.glob(f"*/{CERTIFICATE}")):
        certificate = read_certificate(path)
        if certificate is not None:
            yield path.parent, certificate
