"""The certificate of an audit as a readable report, and its figures as rows for tables and cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.notices import counted
from core.records import Metric
from core.statistics.judges.quality import MATCHED_LENGTH
from core.text.documents import code_cell, code_span, document_template, escaped
from evaluation.judges.certificate import AuditedLabeler, Certificate, GoldSource

_NONE = "-"
_SHOWN = 16
"""Characters of a digest that cards show."""
_SAYS_NOTHING = 100.0
"""Temperature above which log-odds of 4 nats are left with 0.04: a probability of 0.51 in place of 0.98."""

_Row = tuple[str, ...]

_INJECTED: Mapping[str, str] = {
    "injection.shift": "shift of the label by injections, nats",
    "injection.shift.naive": "shift of a naive judge, nats",
    "injection.excess": "shift less a quarter of the naive judge's, nats",
    "injection.ratio": "shift of the label / shift of a naive judge",
    "injection.size": "absolute shift of the label, nats",
    "injection.size.naive": "absolute shift of a naive judge, nats",
    "injection.preference": "log-odds of the better reply without injections, nats",
    "injection.preference.naive": "the same of a naive judge, nats",
    "injection.flipped": "labels that injections turn",
    "injection.flipped.naive": "answers of a naive judge that injections turn",
    "injection.shift.one order": "shift of one presentation order, nats",
    "injection.shift.naive, both orders": "shift of the naive template in both orders, nats",
}

TITLES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "accuracy.one order": "accuracy of one presentation order",
    "accuracy.matched length": "accuracy at matched length",
    "first slot": "prefers the answer in the first place",
    "swap inconsistency": "swapping the answers changes the preferred one",
    "slot log-odds": "liking for the first place, nats",
    "nll": "NLL, nats (0.693 knows nothing)",
    "accuracy.corrected": "accuracy, corrected",
    "nll corrected": "NLL, corrected",
    "ece corrected": "ECE, corrected",
    "ece corrected noise": "ECE of a calibrated labeler, 95 % quantile",
    "temperature": "temperature: what its log-odds are best divided by",
    "brier": "Brier score",
    "ece": "ECE",
    "ece noise": "ECE of a calibrated labeler, 95 % quantile",
    "answer mass": "median answer mass",
    "answer mass.lowest": "lowest answer mass",
    "baseline.first": "baseline: always the first answer",
    "baseline.longest": "baseline: the longest answer",
    "baseline.shortest": "baseline: the shortest answer",
    "baseline.bag of words": "baseline: bag of words, cross-validated",
    "lead.first": "lead over the first answer",
    "lead.longest": "lead over the longest answer",
    "lead.shortest": "lead over the shortest answer",
    "lead.bag of words": "lead over the bag of words",
    **_INJECTED,
    **{
        name.replace("injection.", f"injection.{which}.", 1): f"{title}: {texts}"
        for which, texts in (("held out", "held-out texts"), ("own", "texts of your own"))
        for name, title in _INJECTED.items()
    },
    "planted": "accuracy on planted violations",
    "examples": "accuracy on the principles' test examples",
    "checks": "accuracy against machine checks",
}
"""Title of each metric; others are shown by their names."""


def audit_report(certificate: Certificate) -> str:
    """Return a certificate as Markdown. Names of models, files and principles are escaped."""
    return document_template("evaluation", "audit.md.j2").render(
        certificate=certificate,
        constitution=escaped(certificate.constitution),
        sources=[_source(source) for source in certificate.gold],
        audited=[_section(one) for one in certificate.audited],
        compared=[compared_row(one, certificate.recommended) for one in certificate.compared],
        known=[metric_row(metric) for metric in certificate.without_gold],
        injections=[metric_row(metric) for metric in certificate.injections],
        unreliable=[code_cell(name) for name in certificate.unreliable],
    )


def _source(source: GoldSource) -> _Row:
    count = f"{source.comparisons:,}"
    return code_cell(source.name), escaped(source.format), count, _reasons(source.excluded)


def _section(one: AuditedLabeler) -> dict[str, Any]:
    return {
        "title": f"{code_cell(one.labeler.model)}, {escaped(one.labeler.name)}",
        "digest": one.labeler.digest,
        "rows": [metric_row(metric) for metric in one.metrics],
        "problems": [escaped(problem) for problem in one.problems],
        "outcomes": [escaped(line).rpartition(": ")[::2] for line in outcome_lines(one)],
        "not_asked": [escaped(line) for line in not_asked_lines(one)],
        "not_measured": not_measured(one),
        "correction": escaped(correction_line(one) or ""),
        "cost": None if one.cost is None else cost_line(one),
    }


def metric_row(metric: Metric) -> _Row:
    """Return title, value with interval, and number of a metric."""
    return escaped(TITLES.get(metric.name, metric.name)), metric_cell(metric), f"{metric.n:,}"


def metric_cell(metric: Metric | None) -> str:
    """Return a metric as `61.4 % (52.0 to 70.9)`: shares in percent, others with three decimals."""
    if metric is None:
        return _NONE
    if metric.name == "temperature" and metric.value > _SAYS_NOTHING:
        return f"over {_SAYS_NOTHING:g}: its log-odds say nothing"
    scale, digits, unit = (100.0, 1, " %") if metric.unit == "share" else (1.0, 3, "")
    value = f"{scale * metric.value:.{digits}f}{unit}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({scale * metric.low:.{digits}f} to {scale * metric.high:.{digits}f})"


def compared_row(one: AuditedLabeler, recommended: str | None) -> _Row:
    """Return name, accuracy, NLL corrected, swap inconsistency, tokens, and the recommendation."""
    if one.refused is not None:
        return escaped(one.labeler.name), f"cannot be asked: {escaped(one.refused)}", _NONE, _NONE, _NONE, ""
    names = ("accuracy", "nll corrected", "swap inconsistency")
    tokens = _NONE if one.cost is None or not one.cost.asked else f"{one.cost.tokens_each:,.0f}"
    mark = "recommended" if one.labeler.digest == recommended else ""
    return escaped(one.labeler.name), *(metric_cell(one.metric(name)) for name in names), tokens, mark


def correction_line(one: AuditedLabeler) -> str | None:
    """Return what a labeler's correction does and gains, or why there is none; None without gold labels."""
    if one.correction is None:
        return None if one.no_correction is None else f"correction: none, as {one.no_correction}"
    found = one.correction
    length = f", {found.length:+.3g} nats for an answer e times as long" if found.length else ""
    judged = f"{counted(found.judgments, 'judgment')} of {counted(found.comparisons, 'comparison')}"
    return (
        f"correction: log-odds times {found.scale:.3g}{length}, fitted on {judged}, each by a principle; "
        f"their log-loss is {found.before.nll:.3f} nats before, {found.after.nll:.3f} after (cross-validated)"
    )


def outcome_lines(one: AuditedLabeler) -> list[str]:
    """Return what became of a labeler's judgments, in words."""
    words = {"verdict": "judgments", "problem": "judgments with the problem"}
    found = []
    for name, count in one.outcomes.items():
        kind, _, rest = name.partition(" ")
        what = {"a": "for the first answer", "b": "for the second answer"}.get(rest, rest)
        found.append(f"{words[kind]} {what}: {count:,}" if kind in words else f"{name}: {count:,}")
    return found


def not_measured(one: AuditedLabeler) -> str | None:
    """Return why the accuracy at matched length is missing; None if it is there, or nothing was measured."""
    if one.metric("accuracy") is None or one.metric("accuracy.matched length") is not None:
        return None
    within = 1 - math.exp(-MATCHED_LENGTH)
    return f"accuracy at matched length: not measured, as no two answers have it within {within:.0%}"


def not_asked_lines(one: AuditedLabeler) -> list[str]:
    """Return a line for each principle that the labeler was never asked about, with the reason."""
    return [f"not asked about {name}: {reason}" for name, reason in one.not_asked.items()]


def cost_line(one: AuditedLabeler) -> str:
    """Return what a labeler's answers cost."""
    cost = one.cost
    assert cost is not None
    each = cost.requests / max(1, cost.comparisons)
    if not cost.asked or cost.seconds is None:
        return f"{each:.1f} requests a comparison, all from the request cache"
    seconds = cost.seconds / cost.asked * each
    return f"{each:.1f} requests, {cost.tokens_each:,.0f} tokens and {seconds:.2f} seconds a comparison"


def _reasons(excluded: Mapping[str, int]) -> str:
    return escaped("; ".join(f"{reason}: {count:,}" for reason, count in excluded.items())) or _NONE


def audit_card(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a card shows of an audit's summary (`FoundAudit.summary`), escaped."""
    return {
        "model": code_span(str(summary.get("model", ""))),
        "mode": escaped(str(summary.get("mode", ""))),
        "created": escaped(str(summary.get("created", ""))),
        "constitution": escaped(str(summary.get("constitution", ""))),
        "digest": code_span(digest[:_SHOWN])
        if (digest := str(summary.get("constitution_digest", "")))
        else "",
        "gold": ", ".join(code_span(str(name)) for name in summary.get("gold", ())),
        "rows": [metric_row(Metric.model_validate(fields)) for fields in summary.get("metrics", ())],
        "problems": [escaped(str(problem)) for problem in summary.get("problems", ())],
    }
