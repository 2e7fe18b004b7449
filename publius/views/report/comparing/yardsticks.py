"""Measures whose yardstick differs between two constitutions: their values are shown and not compared.

A machine check measures a principle by the check alone, so that new words with the same check are the same
yardstick. A judge rates a principle by its words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from constitution.checks.kinds import Check
from constitution.schema import Constitution
from evaluation.judged.names import JUDGED, corrected_measure, judged_measure
from evaluation.measures import COMPLIANCE

_LONGEST = 60
"""Characters of a check beyond which its value is not shown."""


def different_yardsticks(old: Constitution, new: Constitution, keys: tuple[str, str]) -> dict[str, str]:
    """Return the measures that two constitutions define differently, each with the reason in one sentence.

    Args:
        old: the constitution of the first group.
        new: that of the other group.
        keys: the names of both groups on the page, such as `A` and `B`.
    """
    checks, words = _by_check(old, new), _by_words(old, new)
    who = " and ".join(keys)
    found = {
        f"{COMPLIANCE}.{name}": f"{who} measure this rule differently ({how}): not compared"
        for name, how in checks.items()
        if how
    }
    for name, how in words.items():
        if how:
            reason = f"{who} measure this rule differently ({how}): not compared"
            found |= dict.fromkeys((judged_measure(name), corrected_measure(name)), reason)
    for measure, parts in ((COMPLIANCE, checks), (JUDGED, words)):
        if parts:
            how = "; ".join(
                f"{name}: {what}" if what else f"only one has {name}" for name, what in parts.items()
            )
            found[measure] = f"{who} do not have the same rules here ({how}): not compared"
    return found


def _by_check(old: Constitution, new: Constitution) -> dict[str, str]:
    """Return what differs in the checks by principle; empty text for a check that only one of them has."""
    before, after = ({p.id: p.check for p in one.principles if p.check is not None} for one in (old, new))
    found: dict[str, str] = {}
    for name in {**before, **after}:
        if name not in before or name not in after:
            found[name] = ""
        elif before[name] != after[name]:
            found[name] = _against(before[name], after[name])
    return found


def _by_words(old: Constitution, new: Constitution) -> dict[str, str]:
    """Return what differs in the words by principle; empty text for a principle that only one of them has."""
    before, after = (_texts(one) for one in (old, new))
    return {
        name: "other words" if name in before and name in after else ""
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def _texts(constitution: Constitution) -> Mapping[str, str]:
    return {principle.id: principle.text for principle in constitution.principles}


def _against(before: Check, after: Check) -> str:
    """Return two checks as `max_words 70 against 25`."""
    (kind, value), (other_kind, other) = _parts(before), _parts(after)
    text = (
        f"{kind} {value} against {other}"
        if kind == other_kind
        else f"{kind} {value} against {other_kind} {other}"
    )
    return text if len(text) <= _LONGEST else f"{kind} against another {other_kind}"


def _parts(check: Check) -> tuple[str, str]:
    value = check.model_dump(mode="json")["value"]
    return check.kind, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
