"""Output of `publius check`, findings as file:line:column, and of `publius schema`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from constitution.lint.codes import SEVERITIES
from constitution.schema import Constitution
from core.notices import counted
from publius.authoring.check import CheckedConstitution, CodesExplained, PhrasesExplained
from publius.console import out
from publius.views.reply import some_ids


def print_check(result: CheckedConstitution) -> None:
    """Print the findings, one line each, and their totals."""
    if result.report.findings:
        out.print("\n".join(map(str, result.report.findings)))
    constitution = result.loaded.constitution
    checked = sum(principle.check is not None for principle in constitution.principles)
    count = counted(len(constitution.principles), "principle")
    out.print(f"{constitution.name}: {count}, {checked} machine-checkable, digest {constitution.digest[:16]}")
    for line in _by_kind(constitution):
        out.print(line)
    if result.given is not None:
        for line in result.given.lines():
            out.print(line)
    if result.judged is not None:
        judged = result.judged
        out.print(f"{judged.asked:,} of {counted(judged.pairs, 'pair')} judged, {judged.unparsed:,} unparsed")
    totals = ", ".join(counted(result.report.count(severity), severity) for severity in SEVERITIES)
    out.print(f"{totals}; {len(result.report.silenced):,} silenced")


def _by_kind(constitution: Constitution) -> Iterator[str]:
    """Yield which principles a check decides, which only a model can judge, and which are only measured."""
    checked = [principle.id for principle in constitution.principles if principle.check is not None]
    judged = [principle.id for principle in constitution.principles if principle.check is None]
    if checked:
        yield f"decided by a check: {some_ids(checked)}"
    if judged:
        yield f"judged by a model: {some_ids(judged)}"
    if constitution.yardsticks:
        yield f"only measured (weight 0): {some_ids(constitution.yardsticks)}"


def print_explained(explained: CodesExplained | PhrasesExplained) -> None:
    """Print the meaning and reason of one code, a line for each of several, or the phrases of a list."""
    if isinstance(explained, PhrasesExplained):
        out.print("\n".join(explained.phrases))
        return
    first, *more = explained.rules
    if not more:
        out.print(f"{first.code} {first.name} ({first.severity})\n{first.meaning}\n\n{first.reason}")
        return
    width = max(len(rule.name) for rule in explained.rules)
    for rule in explained.rules:
        out.print(f"{rule.code}  {rule.severity:<7}  {rule.name:<{width}}  {rule.meaning}")


def print_schema(text: str) -> None:
    """Print a JSON Schema or a page unchanged, so it can be redirected to a file."""
    sys.stdout.write(text)
