"""Output of `publius check`, findings as file:line:column, and of `publius schema`."""

from __future__ import annotations

import sys

from constitution.lint.codes import SEVERITIES
from core.notices import counted
from publius.authoring.check import CheckedConstitution, CodesExplained
from publius.console import out


def print_check(result: CheckedConstitution) -> None:
    """Print the findings, one line each, and their totals."""
    if result.report.findings:
        out.print("\n".join(map(str, result.report.findings)), soft_wrap=True)
    constitution = result.loaded.constitution
    checked = sum(principle.check is not None for principle in constitution.principles)
    count = counted(len(constitution.principles), "principle")
    out.print(
        f"{constitution.name}: {count}, {checked} machine-checkable, digest {constitution.digest[:16]}",
        soft_wrap=True,
    )
    if result.given is not None:
        out.print(result.given.line(), soft_wrap=True)
    if result.judged is not None:
        judged = result.judged
        out.print(f"{judged.asked:,} of {counted(judged.pairs, 'pair')} judged, {judged.unparsed:,} unparsed")
    totals = ", ".join(counted(result.report.count(severity), severity) for severity in SEVERITIES)
    out.print(f"{totals}; {len(result.report.silenced):,} silenced")


def print_codes(explained: CodesExplained) -> None:
    """Print the meaning and reason of one code, or a line for each of several."""
    first, *more = explained.rules
    if not more:
        out.print(f"{first.code} {first.name} ({first.severity})\n{first.meaning}\n\n{first.reason}")
        return
    width = max(len(rule.name) for rule in explained.rules)
    for rule in explained.rules:
        out.print(f"{rule.code}  {rule.severity:<7}  {rule.name:<{width}}  {rule.meaning}", soft_wrap=True)


def print_schema(text: str) -> None:
    """Print a JSON Schema or a page unchanged, so it can be redirected to a file."""
    sys.stdout.write(text)
