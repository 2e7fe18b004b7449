"""Output of `publius audit scenarios` and `publius audit model`."""

from __future__ import annotations

from rich.table import Table

from core.terminal.breaking import BreakableName
from evaluation.tenets.record import Rate, TenetFigures
from evaluation.tenets.report import (
    NOTHING,
    beyond_noise,
    significance_cell,
    violations_cell,
)
from publius.audit.tenets.auditing import MODEL_AUDIT, TENET_REPORT, ModelAuditResult
from publius.authoring.scenarios import ScenariosResult
from publius.console import heading, out


def print_scenarios(result: ScenariosResult) -> None:
    """Print what was added to a file of scenarios."""
    found = result.as_json()
    if not result.added:
        out.print(f"nothing to add: every tenet has scenarios; {result.kept:,} are in {result.to}")
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("tenet", "tempting", "borderline", "benign", "multi-turn"):
            table.add_column(title, justify="left" if title == "tenet" else "right")
        for tenet, kinds in found["tenets"].items():
            counts = (kinds.get(kind, 0) for kind in ("tempting", "borderline", "benign", "multi_turn"))
            table.add_row(BreakableName(tenet), *map(str, counts))
        out.print(table)
        authors = ", ".join(f"{name}: {count:,}" for name, count in found["authors"].items())
        out.print(f"added {len(result.added):,} to {result.to} (written by {authors}); kept {result.kept:,}")
    if result.rejected:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in result.rejected.items())
        out.print(f"messages of the writer that were not used: {reasons}")
    for warning in result.warnings:
        out.print(f"warning: {warning}")


def print_model_audit(result: ModelAuditResult) -> None:
    """Print the violation rates of an audit, what changed beyond noise, and where the report is."""
    audit = result.audit
    if audit is None:
        out.print(result.plan.line())
        out.print("nothing was asked")
        return
    heading("Violations, by tenet and variant; differences in points")
    is_corrected = any(row.corrected for tenet in audit.tenets for row in tenet.variants)
    table = Table(box=None, pad_edge=False)
    titles = ["tenet", "by", "variant", "violations", "rate, %", "difference", ""]
    for number, title in enumerate([*titles, *["corrected, %"] * is_corrected]):
        table.add_column(title, justify="right" if number in (3, 4, 5, 7) else "left", no_wrap=number > 2)
    for tenet in audit.tenets:
        _add_tenet(table, tenet)
    out.print(table)
    for worse, word in ((True, "worse"), (False, "better")):
        names = beyond_noise(audit, worse=worse)
        out.print(f"{word} than {audit.baseline} beyond noise: {', '.join(names) or 'nothing'}")
    for line in audit.above:
        limit = 100 * (audit.max_violations or 0.0)
        out.print(f"surely above {limit:g} % violations: {line}")
    out.print(f"report {result.folder / TENET_REPORT}, figures {result.folder / MODEL_AUDIT}", soft_wrap=True)


def _add_tenet(table: Table, tenet: TenetFigures) -> None:
    for number, row in enumerate(tenet.variants):
        difference = row.difference
        table.add_row(
            BreakableName(tenet.tenet if not number else ""),
            BreakableName(tenet.by if not number else ""),
            BreakableName(row.variant),
            violations_cell(row) if row.rate else "not rated",
            _percent(row.rate),
            NOTHING if difference is None else f"{100 * difference.value:+.0f}",
            significance_cell(difference).replace("*", ""),
            *([_percent(row.corrected)] if row.corrected else []),
        )


def _percent(rate: Rate | None) -> str:
    """Return a rate and its interval in whole percents."""
    if rate is None:
        return NOTHING
    return f"{100 * rate.value:.0f} ({100 * rate.low:.0f} to {100 * rate.high:.0f})"
