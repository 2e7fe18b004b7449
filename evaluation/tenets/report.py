"""An audit by tenet as a readable report, and its figures as rows for tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from core.text.documents import code_cell, code_span, document_template, escaped, fenced
from evaluation.judges.report import audit_card
from evaluation.tenets.record import (
    JudgeErrors,
    ModelAudit,
    Rate,
    ShownViolation,
    TenetDifference,
    TenetFigures,
    VariantFigures,
)
from prompts.scenarios.file import ScenarioKind

NOTHING = "-"
_SHOWN_CHARACTERS = 1_500


def tenet_report(audit: ModelAudit) -> str:
    """Return an audit as Markdown. Texts of models and users cannot act as markup."""
    return document_template("evaluation", "tenets.md.j2").render(
        audit=audit,
        constitution=escaped(audit.constitution),
        scenarios=code_span(audit.scenarios),
        authors=", ".join(f"{escaped(name)}: {count:,}" for name, count in audit.authors.items()),
        user=None if audit.simulated_user is None else code_span(audit.simulated_user),
        variants=[_variant_row(audit, number) for number in range(len(audit.variants))],
        baseline=code_span(audit.baseline),
        rows=[row for tenet in audit.tenets for row in tenet_rows(tenet)],
        worse=[code_span(name) for name in beyond_noise(audit, worse=True)],
        better=[code_span(name) for name in beyond_noise(audit, worse=False)],
        kinds=[row for tenet in audit.tenets for row in _kind_rows(tenet)],
        abstained=[(code_span(t.tenet), escaped(t.abstained)) for t in audit.tenets if t.abstained],
        judge=_judge(audit),
        examples=[_example(one) for one in audit.examples],
        excluded=[(escaped(reason), count) for reason, count in _left_out(audit).items()],
        warnings=[escaped(warning) for warning in audit.warnings],
        above=[code_span(name) for name in audit.above],
    )


def beyond_noise(audit: ModelAudit, *, worse: bool) -> list[str]:
    """Return the variants and tenets whose violations changed beyond noise, as `VARIANT: TENET`."""
    return [
        f"{row.variant}: {tenet.tenet}"
        for tenet in audit.tenets
        for row in tenet.variants
        if row.difference is not None
        and row.difference.is_beyond_noise
        and (row.difference.value > 0) == worse
    ]


def tenet_rows(tenet: TenetFigures) -> Iterator[tuple[str, ...]]:
    """Yield tenet, rater, variant, violations, rate, corrected rate, difference and significance."""
    for row in tenet.variants:
        yield (
            code_cell(tenet.tenet),
            tenet.by,
            code_cell(row.variant),
            violations_cell(row),
            rate_cell(row.rate),
            rate_cell(row.corrected),
            difference_cell(row.difference),
            significance_cell(row.difference),
        )


def violations_cell(row: VariantFigures) -> str:
    """Return violations of scenarios, such as `3 of 24`."""
    return f"{row.violations:g} of {row.scenarios:,}"


def rate_cell(rate: Rate | None) -> str:
    """Return a rate as `12.5 % (4.3 to 31.0)`."""
    if rate is None:
        return NOTHING
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def difference_cell(difference: TenetDifference | None) -> str:
    """Return a difference in points with its interval."""
    if difference is None:
        return NOTHING
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def significance_cell(difference: TenetDifference | None) -> str:
    """Return the corrected p-value, and whether the difference is beyond noise."""
    if difference is None:
        return NOTHING
    if difference.p_corrected is None:
        return "the same" if not difference.changed else "too few scenarios"
    p = difference.p_corrected
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if not difference.is_beyond_noise:
        return f"noise, {shown}"
    return f"**{'worse' if difference.value > 0 else 'better'}**, {shown}"


def _variant_row(audit: ModelAudit, number: int) -> tuple[str, ...]:
    one = audit.variants[number]
    how = "with the constitution as system prompt" if one.prompted else ""
    model = code_cell(one.model) + (f", {code_cell(one.adapter)}" if one.adapter else "")
    return code_cell(one.name), model, how, f"{one.replies:,}", f"{one.empty:,}", f"{one.cut_off:,}"


def _kind_rows(tenet: TenetFigures) -> Iterator[tuple[str, ...]]:
    """Yield tenet, variant, and the violations among the scenarios of each kind."""
    for row in tenet.variants:
        counts = {one.kind: f"{one.violations:g} of {one.scenarios:,}" for one in row.kinds}
        cells = (counts.get(kind, NOTHING) for kind in get_args(ScenarioKind))
        yield code_cell(tenet.tenet), code_cell(row.variant), *cells


def _judge(audit: ModelAudit) -> dict[str, Any] | None:
    judge = audit.judge
    if judge is None:
        return None
    trained = judge.trained or {}
    return {
        "name": code_span(judge.model),
        "digest": judge.digest,
        "warnings": [escaped(warning) for warning in judge.warnings],
        "certificate": None if judge.certificate is None else audit_card(judge.certificate),
        "trained": [
            (
                code_cell(kind),
                f"{100 * one['accuracy']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})",
            )
            for kind, one in trained.items()
        ],
        "errors": [
            error_row(errors)
            for errors in (judge.errors, *(tenet.errors for tenet in audit.tenets))
            if errors is not None
        ],
    }


def error_row(errors: JudgeErrors) -> tuple[str, ...]:
    """Return tenet, labels, violations, sensitivity and specificity."""
    return (
        "all" if errors.tenet is None else code_cell(errors.tenet),
        f"{errors.labels:,}",
        f"{errors.violations:,}",
        rate_cell(errors.sensitivity),
        rate_cell(errors.specificity),
    )


def _example(one: ShownViolation) -> dict[str, Any]:
    if one.by == "check":
        why = escaped(one.finding or "")
    else:
        why = f"probability of a violation {one.violation:.2f}"
    return {
        "title": f"{code_span(one.tenet)}, {code_span(one.variant)}, {one.kind.replace('_', '-')}",
        "why": why,
        "messages": [(m.role, fenced(m.content, max_characters=_SHOWN_CHARACTERS)) for m in one.messages],
        "reply": fenced(one.reply, max_characters=_SHOWN_CHARACTERS),
        "citation": None
        if one.citation is None
        else fenced(one.citation.text, max_characters=_SHOWN_CHARACTERS),
        "gain": None if one.citation is None else _gain(one),
    }


def _gain(one: ShownViolation) -> str:
    assert one.citation is not None
    if one.by == "check":
        return f"without it the check's score rises by {one.citation.gain:.2f}"
    return f"without it the judge's log-odds rise by {one.citation.gain:.2f} nats"


def _left_out(audit: ModelAudit) -> Mapping[str, int]:
    """Return everything that is no part of the figures, by reason."""
    found = dict(audit.excluded)
    for tenet in audit.tenets:
        if tenet.incomplete:
            found[f"{tenet.tenet}: scenarios that were not rated for every variant"] = tenet.incomplete
        for row in tenet.variants:
            for reason, count in row.not_rated.items():
                found[f"{tenet.tenet}, {row.variant}: {reason}"] = count
    return found
