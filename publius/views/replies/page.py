"""Checked replies as one page for people who do not know the tool: by rule and by case, with the words found.

The page has the style of `publius report`, fetches nothing and runs no script. All text reaches it escaped:
by an autoescaped template in HTML, and as one line without markup in Markdown.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from constitution.checks.findings import finding_beside_rule
from core.errors import RunStateError
from core.notices import counted
from core.store.files import is_there, os_errors, write_atomic
from publius.authoring.replies.checking import CheckedCase, CheckedReplies, RuleCounts
from publius.authoring.replies.words import is_decided
from publius.authoring.reply import PrincipleOutcome
from publius.runs.pairs.tables import conversation_text

PAGES = (".html", ".md")
"""Endings of the files that are a page."""
_FOUND = 5
"""Findings that are named for each rule."""
_LONGEST = 600
"""Characters of a question or a reply that are shown."""
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&!$:]")
"""Characters that Markdown or HTML could read as markup, or that make an address a link."""


@dataclass(frozen=True)
class _Finding:
    """A rule that a reply breaks, with what was found."""

    text: str
    found: str


@dataclass(frozen=True)
class _RuleRow:
    """A row of the table of rules."""

    text: str
    name: str
    said: str
    found: str


@dataclass(frozen=True)
class _CaseRow:
    """A row of the table of cases."""

    name: str
    broken: Sequence[_Finding]
    prompt: str
    reply: str


@dataclass(frozen=True)
class _Page:
    """What a page shows, as plain text."""

    title: str
    file: str
    claim: str
    decided_by: str
    rules: Sequence[_RuleRow]
    undecided: Sequence[str]
    elsewhere: Sequence[str]
    cases: Sequence[_CaseRow]
    kept: Sequence[str]


def is_page(to: Path) -> bool:
    """Return True if a file to write is a page by its name."""
    return to.suffix.lower() in PAGES


def require_new_page(to: Path) -> None:
    """Refuse to write over a file. Raises RunStateError."""
    if is_there(to):
        raise RunStateError("path already exists", where=f"--to {to}", accepted="a new file")


def write_page(result: CheckedReplies, to: Path) -> None:
    """Write checked replies as a page, in HTML or Markdown by the file's name."""
    write_rendered("publius.views.replies", _page(result), to)


def write_rendered(package: str, page: object, to: Path) -> None:
    """Write a page by the template of a package, in HTML or Markdown by the file's name.

    Args:
        package: the package whose folder `templates` has `page.html.j2` and `page.md.j2`.
        page: what the template shows, as plain text.
        to: a new file.
    """
    html = to.suffix.lower() == ".html"
    style = files("publius.views.report").joinpath("static", "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    template = _environment(package, html=html).get_template(f"page{to.suffix.lower()}.j2")
    created = datetime.now(UTC).strftime("%Y-%m-%d")
    text = template.render(page=page, created=created, style=Markup(style), policy=policy)
    with os_errors(to):
        write_atomic(to, text.encode("utf-8", "replace"))


def _environment(package: str, *, html: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader(package, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=html,
    )
    if not html:
        environment.filters["e"] = _plain
    return environment


def _plain(text: str) -> str:
    """Return a text for Markdown: one line, without markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _page(result: CheckedReplies) -> _Page:
    texts = {one.id: " ".join(one.text.split()) for one in result.constitution.principles}
    rules, number = result.by_rule(), len(result.cases)
    broken = [case for case in result.cases if case.broken]
    kept = [c.row.case for c in result.cases if not c.broken and any(map(is_decided, c.outcomes))]
    of = "1 reply" if number == 1 else f"{number:,} replies"
    breaks = "breaks" if len(broken) == 1 else "break"
    by = "machine checks" if result.model is None else f"machine checks and the model {result.model}"
    return _Page(
        title=f"Replies under the rules of {result.constitution.name}",
        file=Path(result.read.name).name,
        claim=f"{len(broken):,} of {of} {breaks} at least one rule.",
        decided_by=f"Decided by {by}. A check looks at the words of a reply, and not at what they mean.",
        rules=list(_rule_rows(result, rules, texts)),
        undecided=[texts[rule.principle] for rule in rules if not rule.decided and not _is_elsewhere(rule)],
        elsewhere=[texts[rule.principle] for rule in rules if not rule.decided and _is_elsewhere(rule)],
        cases=[_case_row(case, texts) for case in broken],
        kept=kept,
    )


def _is_elsewhere(rule: RuleCounts) -> bool:
    """Return True if a rule is for none of the prompts."""
    return set(rule.outcomes) == {"elsewhere"}


def _rule_rows(
    result: CheckedReplies, rules: Sequence[RuleCounts], texts: dict[str, str]
) -> Iterator[_RuleRow]:
    """Yield the rules that were decided, those most often broken first."""
    for rule in sorted(rules, key=lambda rule: -rule.broken):
        if rule.decided:
            found: dict[str, None] = {}
            for case in result.cases:
                for one in case.broken:
                    if one.principle == rule.principle and (words := _words(one)):
                        found[words] = None
            shown = list(found)[:_FOUND]
            more = f"; and {counted(len(found) - _FOUND, 'more finding')}" if len(found) > _FOUND else ""
            said = f"{rule.broken:,} of {rule.decided:,}"
            yield _RuleRow(texts[rule.principle], rule.principle, said, "; ".join(shown) + more)


def _case_row(case: CheckedCase, texts: dict[str, str]) -> _CaseRow:
    prompt = "" if case.row.prompt is None else conversation_text(case.row.prompt.messages)
    broken = [_Finding(texts[one.principle], _words(one)) for one in case.broken]
    return _CaseRow(case.row.case, broken, _cut(prompt), _cut(case.row.reply))


def _words(one: PrincipleOutcome) -> str:
    """Return the words that break a rule, or else what its check found; no pattern is shown."""
    if one.p is not None:
        return f"by the model, p = {one.p:.2f}"
    if one.finding and one.explained and one.explained.startswith(one.finding):
        return one.explained
    if one.matched:
        return ", ".join(f"“{words}”" for words in one.matched)
    return finding_beside_rule(one.text, one.explained or "")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
