"""Run the lint rules on a constitution: findings are valid, but probably mistakes.

`lint_report` runs all rules. They are grouped by topic in the modules `text`, `structure`, `checks`,
`unchecked`, `contradictions`, `examples` and `prompts`; their codes are documented in `codes`. They call no
model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.lint.checks import lint_checks
from constitution.lint.codes import CODES, RETIRED, Severity
from constitution.lint.contradictions import lint_contradictions
from constitution.lint.examples import lint_examples
from constitution.lint.prompts import lint_prompts
from constitution.lint.structure import lint_structure
from constitution.lint.subject import Hit, LintContext
from constitution.lint.text import lint_text
from constitution.lint.unchecked import lint_unchecked
from constitution.loader import LoadedConstitution
from core.text.explain import Loc, one_of, yaml_line

_RULES = (lint_text, lint_structure, lint_checks, lint_contradictions, lint_examples, lint_prompts)
_PLACE = re.compile(r"^(.*):(\d+):(\d+)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """A probable mistake, with its position."""

    code: str
    severity: Severity
    where: str
    """Position as `file:line:column`."""
    what: str
    """Description of the finding."""
    hint: str
    """How to fix it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.code} {self.severity}: {self.what} ({self.hint})"


@dataclass(frozen=True, slots=True)
class LintReport:
    """Result of linting a constitution."""

    findings: tuple[Finding, ...]
    """Findings in file order."""
    silenced: tuple[Finding, ...]
    """Findings hidden by `lint_ignore`."""

    def count(self, severity: Severity) -> int:
        """Return the number of findings with this severity."""
        return sum(finding.severity == severity for finding in self.findings)


def lint_report(
    loaded: LoadedConstitution, context: LintContext | None = None, more: Iterable[Hit] = ()
) -> LintReport:
    """Lint a constitution, separating the findings that the file silences.

    Args:
        loaded: The constitution.
        context: Information from outside the file.
        more: Hits found elsewhere, e.g. by a model. `lint_ignore` applies to them too.
    """
    context = context or LintContext()
    hits = [hit for rule in _RULES for hit in rule(loaded.constitution, context)]
    hits = [hit for hit in hits if not _is_named_by_a_base(hit, loaded)]
    hits += [*lint_unchecked(loaded), *_unused_passages(loaded), *more]
    silencers = _Silencers(loaded)
    kept: list[Hit] = []
    silenced: list[Hit] = []
    for hit in hits:
        (silenced if silencers.hide(hit) else kept).append(hit)
    # Last, because unused entries are known only after all other hits have been matched.
    for hit in (*silencers.unknown(), *silencers.unused(has_prompts=bool(context.prompts))):
        (silenced if silencers.hide(hit) else kept).append(hit)
    return LintReport(_placed(loaded, kept), _placed(loaded, silenced))


def _is_named_by_a_base(hit: Hit, loaded: LoadedConstitution) -> bool:
    """Return True if a finding is on an id that a file took from its base, to override that principle."""
    return hit.code == "L309" and any(
        loaded.constitution.principles[index].id in loaded.overridden for index in hit.about
    )


def _unused_passages(loaded: LoadedConstitution) -> Iterator[Hit]:
    """Yield the passages of the YAML file that no principle refers to. Those of a document are exempt."""
    used = {p.source.removeprefix("#") for p in loaded.constitution.principles if p.source}
    passages: Any = loaded.document.at(("passages",))
    for anchor in passages or ():
        place = _PLACE.match(loaded.where("passages", anchor))
        of_document = place is not None and Path(place[1]).suffix in (".md", ".markdown")
        if anchor not in used and not of_document:
            yield Hit("L212", ("passages", anchor), f"no principle refers to #{anchor}", "delete it")


class _Silencers:
    """The `lint_ignore` entries of a file, with a record of those that hid a finding."""

    def __init__(self, loaded: LoadedConstitution) -> None:
        constitution = loaded.constitution
        self._entries: list[tuple[Loc, str]] = [
            (("lint_ignore", n), code) for n, code in enumerate(constitution.lint_ignore)
        ]
        for index, principle in enumerate(constitution.principles):
            own: Loc = ("principles", index, "lint_ignore")
            self._entries += [((*own, n), code) for n, code in enumerate(principle.lint_ignore)]
        self._used: set[Loc] = set()

    def hide(self, hit: Hit) -> bool:
        """Return whether an entry of the file, or of a principle concerned, hides the hit."""
        if CODES[hit.code].severity == "error":
            return False
        owners = {None, *hit.about}  # None: the file's own entries
        hiding = [loc for loc, code in self._entries if code == hit.code and _owner(loc) in owners]
        self._used.update(hiding)
        return bool(hiding)

    def unknown(self) -> Iterator[Hit]:
        """Yield the entries with an unknown code or the code of an error."""
        for loc, code in self._entries:
            if code not in CODES and code not in RETIRED:
                yield Hit("L201", loc, f"unknown lint code {yaml_line(code)}", one_of(CODES, code))
            elif code in CODES and CODES[code].severity == "error":
                yield Hit("L201", loc, f"{code} is an error and cannot be ignored", "fix the error")

    def unused(self, *, has_prompts: bool) -> Iterator[Hit]:
        """Yield the unused entries: codes that were checked without a finding, and removed codes."""
        for loc, code in self._entries:
            if code in RETIRED:
                yield Hit("L202", loc, f"the lint code {code} was removed", "delete the entry")
            looked_for = code in CODES and (code[1] < "5" or (code[1] == "5" and has_prompts))
            silent = code in ("L201", "L202") or CODES.get(code, CODES["L101"]).severity == "error"
            if looked_for and not silent and loc not in self._used:
                yield Hit("L202", loc, f"{code} hides no finding here", "delete the entry")


def _owner(loc: Loc) -> int | None:
    """Return the position of the principle that has the entry; None for an entry of the file."""
    return int(loc[1]) if loc[0] == "principles" else None


def _placed(loaded: LoadedConstitution, hits: Iterable[Hit]) -> tuple[Finding, ...]:
    findings = (
        Finding(hit.code, CODES[hit.code].severity, loaded.where(*hit.loc), hit.what, hit.hint)
        for hit in hits
    )
    return tuple(sorted(findings, key=_order))


def _order(finding: Finding) -> tuple[str, int, int, str]:
    place = _PLACE.match(finding.where)
    return (place[1], int(place[2]), int(place[3]), finding.code) if place else (finding.where, 0, 0, "")
