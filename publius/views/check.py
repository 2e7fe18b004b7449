"""What `publius check` prints: findings at file:line:column, or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from constitution.lint.codes import CODES, SEVERITIES, LintRule
from constitution.lint.linter import Finding
from core.notices import counted
from publius.authoring.check import CheckResult
from publius.console import out


def print_check(result: CheckResult) -> None:
    """Print the findings a line each, and what they come to."""
    if result.report.findings:
        out.print("\n".join(map(str, result.report.findings)), soft_wrap=True)
    constitution = result.loaded.constitution
    checked = sum(principle.check is not None for principle in constitution.principles)
    count = counted(len(constitution.principles), "principle")
    out.print(
        f"{constitution.name}: {count}, {checked} machine-checkable, digest {constitution.digest[:16]}",
        soft_wrap=True,
    )
    if result.judged is not None:
        judged = result.judged
        out.print(f"{judged.asked:,} of {counted(judged.pairs, 'pair')} judged, {judged.unparsed:,} unparsed")
    told = ", ".join(counted(result.report.count(severity), severity) for severity in SEVERITIES)
    out.print(f"{told}; {len(result.report.silenced):,} silenced")


def check_content(result: CheckResult) -> dict[str, Any]:
    """Return all that was found, for a program."""
    constitution = result.loaded.constitution
    return {
        "name": constitution.name,
        "digest": constitution.digest,
        "principles": [principle.id for principle in constitution.principles],
        "machine_checkable": [p.id for p in constitution.principles if p.check is not None],
        "findings": [_content(finding) for finding in result.report.findings],
        "silenced": [_content(finding) for finding in result.report.silenced],
        "counts": {severity: result.report.count(severity) for severity in SEVERITIES},
        "judged": None if result.judged is None else asdict(result.judged),
    }


def _content(finding: Finding) -> dict[str, str]:
    return {**asdict(finding), "name": CODES[finding.code].name}


def print_code(entry: LintRule) -> None:
    """Print what a code stands for."""
    out.print(f"{entry.code} {entry.name} ({entry.severity})\n{entry.meaning}\n\n{entry.reason}")


def print_codes() -> None:
    """Print every code in a line."""
    width = max(len(entry.name) for entry in CODES.values())
    for entry in CODES.values():
        out.print(
            f"{entry.code}  {entry.severity:<7}  {entry.name:<{width}}  {entry.meaning}", soft_wrap=True
        )
