"""Structural diff of two constitutions, with the pipeline steps that each change affects.

Principles are matched by id, which draws and records refer to. A principle with a changed id and nearly the
same text is reported as renamed. A run still treats it as one principle removed and another one added,
because draws depend on the id.

The effects of a change follow from the rest of Publius: a request shows the text of a principle and some of
its fields (prompts/templates), a draw depends on id, weight and scope (constitution/draw.py), and judgments
are aggregated into preferences by weights, tiers and hard checks (labelers/crowd/aggregate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from constitution.schema import Constitution, Principle
from core.text.similarity import shared_words

Effect = Literal[
    "critique", "revision", "labels", "draw", "checks", "aggregation", "rules", "prompted", "contrast"
]
"""A pipeline step that a change affects:

critique, revision, labels   the text of these requests: sent again where the principle is drawn
draw                         the draw of principles: requests are sent for the newly drawn ones
checks                       the results of machine checks; a model is called only where a check writes the
                             critique, skips a round or discards a revision (`critique.from_checks`,
                             `early_stop`, `guard`)
aggregation                  the aggregation of judgments into probabilities; no model is called
rules                        as aggregation, but only where `label.rules` names the section
prompted                     the system prompt of the evaluation's variant `prompted`
contrast     the text of requests for labels, but only where `label.mode` is `contrastive`
"""
ChangeKind = Literal[
    "added",
    "removed",
    "renamed",
    "reworded",
    "reweighted",
    "rescoped",
    "moved",
    "made hard",
    "made soft",
    "override changed",
    "source changed",
    "check changed",
    "examples changed",
    "changed",
]

NEARLY_THE_SAME = 0.8
"""Minimum share of words in common, in order, to report a removed and an added principle as a rename."""

_ASKED: tuple[Effect, ...] = ("critique", "revision", "labels")
_KINDS: dict[str, ChangeKind] = {
    "text": "reworded",
    "weight": "reweighted",
    "applies_to": "rescoped",
    "exempt": "rescoped",
    "section": "moved",
    "critique": "override changed",
    "revision": "override changed",
    "comparison": "override changed",
    "antithesis": "override changed",
    "source": "source changed",
    "check": "check changed",
    "examples": "examples changed",
    "lint_ignore": "changed",
}
"""Change kind of each field. `hard` is absent: it has one kind for each direction."""
_BEARS_ON: dict[str, tuple[Effect, ...]] = {
    "text": (*_ASKED, "prompted"),
    "critique": ("critique", "revision"),  # a revision follows its critique
    "revision": ("revision",),
    "comparison": ("labels",),
    "weight": ("draw", "aggregation"),
    "applies_to": ("draw", "checks", "prompted"),
    "exempt": ("draw", "checks", "prompted"),
    "antithesis": ("contrast",),
    "lint_ignore": (),
}
"""Effects of the fields whose effects do not depend on their values; `_effects` handles the others."""


@dataclass(frozen=True, slots=True)
class Change:
    """A single difference."""

    kind: ChangeKind
    field: str
    """The field of the principle or of the constitution, as spelled in a file."""
    before: Any
    """The old value as JSON; None if there was none."""
    after: Any
    """The new value as JSON; None if there is none."""
    bears_on: tuple[Effect, ...]
    """The pipeline steps that the change affects."""
    principle: str | None = None
    """Id of the principle in the new constitution, or in the old one if it was removed. None for a change of
    the constitution as a whole."""


@dataclass(frozen=True, slots=True)
class ConstitutionDiff:
    """All differences between two constitutions: top-level fields first, then principle by principle."""

    old: Constitution
    new: Constitution
    changes: tuple[Change, ...]

    @property
    def bears_on(self) -> set[Effect]:
        """The pipeline steps that at least one change affects."""
        return {effect for change in self.changes for effect in change.bears_on}

    def as_json(self) -> dict[str, Any]:
        """Return the differences as JSON-able values."""
        sides = {
            side: {"name": one.name, "version": one.version, "digest": one.digest}
            for side, one in (("old", self.old), ("new", self.new))
        }
        fields = Change.__dataclass_fields__
        changes = [{name: getattr(change, name) for name in fields} for change in self.changes]
        return {**sides, "changes": changes}


def compare_constitutions(old: Constitution, new: Constitution) -> ConstitutionDiff:
    """Return the differences between an old and a new constitution."""
    before = {principle.id: principle for principle in old.principles}
    after = {principle.id: principle for principle in new.principles}
    removed = [principle for principle in old.principles if principle.id not in after]
    added = [principle for principle in new.principles if principle.id not in before]
    renamed = _renamed(removed, added)
    changes = list(_top_level(old, new))
    for principle in new.principles:
        former = before.get(principle.id) or renamed.get(principle.id)
        if former is None:
            changes.append(_added_or_removed("added", principle))
            continue
        if former.id != principle.id:
            changes.append(Change("renamed", "id", former.id, principle.id, ("draw",), principle.id))
        changes += _fields(old, new, former, principle)
    matched = {former.id for former in renamed.values()}
    changes += [
        _added_or_removed("removed", principle) for principle in removed if principle.id not in matched
    ]
    return ConstitutionDiff(old, new, tuple(changes))


def _top_level(old: Constitution, new: Constitution) -> Iterator[Change]:
    """Yield the changes of the constitution's own fields."""
    strict = "strict" in (old.priority, new.priority)
    effects: dict[str, tuple[Effect, ...]] = {
        "name": (),
        "version": (),
        "preamble": (*_ASKED, "prompted"),
        "priority": ("aggregation", "prompted"),
        "sections": ("aggregation", "prompted") if strict else (),
        "lint_ignore": (),
    }
    for field, bears_on in effects.items():
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            same_parts = field == "sections" and set(before) == set(after)
            kind: ChangeKind = "moved" if same_parts else "changed"
            yield Change(kind, field, _as_json(before), _as_json(after), bears_on)
    yield from _passages(old, new)
    ids = {principle.id for principle in old.principles} & {principle.id for principle in new.principles}
    before, after = ([p.id for p in one.principles if p.id in ids] for one in (old, new))
    if before != after:
        yield Change("moved", "principles", before, after, ("prompted",))


def _passages(old: Constitution, new: Constitution) -> Iterator[Change]:
    pointed = {principle.source for one in (old, new) for principle in one.principles}
    for anchor in sorted({*old.passages, *new.passages}):
        before, after = old.passages.get(anchor), new.passages.get(anchor)
        if before != after:
            # An added or removed passage is reported with the principles whose `source` names it.
            known = before is not None and after is not None and f"#{anchor}" in pointed
            yield Change("changed", f"passages.{anchor}", before, after, _ASKED if known else ())


def _fields(
    old: Constitution, new: Constitution, former: Principle, principle: Principle
) -> Iterator[Change]:
    """Yield the changed fields of a principle that both constitutions have."""
    for name, field in Principle.model_fields.items():
        before, after = getattr(former, name), getattr(principle, name)
        if name == "id" or before == after:
            continue
        if name == "hard":
            kind: ChangeKind = "made hard" if after else "made soft"
        else:
            kind = _KINDS[name]
        bears_on = _effects(name, (old, former), (new, principle))
        yield Change(kind, field.alias or name, _as_json(before), _as_json(after), bears_on, principle.id)


def _effects(
    field: str, one: tuple[Constitution, Principle], other: tuple[Constitution, Principle]
) -> tuple[Effect, ...]:
    """Return the pipeline steps that a changed field of a principle affects."""
    (old, former), (new, principle) = one, other
    if former.weight == principle.weight == 0:
        return ()
    strict = "strict" in (old.priority, new.priority)
    effects: tuple[Effect, ...]
    if field == "hard":
        effects = ("aggregation", "prompted") if strict else ("aggregation",)
    elif field == "section":
        effects = ("aggregation", "prompted") if strict else ("rules",)
    elif field == "source":
        effects = _ASKED if old.passage(former) != new.passage(principle) else ()
    elif field == "examples":
        effects = _of_examples(former, principle)
    elif field == "check":
        # The AI labeler never draws a principle with a check, so others are drawn in its place.
        joins_or_leaves = former.check is None or principle.check is None
        effects = ("draw", "checks") if joins_or_leaves else ("checks",)
    elif field == "weight" and 0 in (former.weight, principle.weight):
        effects = (*_BEARS_ON[field], "prompted", "checks")
    else:
        effects = _BEARS_ON[field]
    checked = former.check is not None and principle.check is not None
    # The labeler is never asked about a principle with a check, and only those have checks to run.
    scoping = field in ("applies_to", "exempt", "weight")
    never = {"labels", "contrast"} if checked else {"checks"} if scoping else set()
    return tuple(effect for effect in effects if effect not in never)


def _of_examples(former: Principle, principle: Principle) -> tuple[Effect, ...]:
    """Return the effects of changed examples: critics see few-shots with their `why`, labelers without."""
    before, now = (
        [example for example in p.examples if example.use == "few_shot"] for p in (former, principle)
    )
    effects: tuple[Effect, ...] = ()
    if [example for example in before if example.why] != [example for example in now if example.why]:
        effects = ("critique", "revision")
    if [(e.prompt, e.good, e.bad) for e in before] != [(e.prompt, e.good, e.bad) for e in now]:
        effects = (*effects, "labels")
    return effects


def _added_or_removed(kind: Literal["added", "removed"], principle: Principle) -> Change:
    bears_on: tuple[Effect, ...] = ("draw", "prompted")
    if not principle.weight:
        bears_on = ()  # only measured
    elif principle.check is not None:
        bears_on = ("draw", "checks", "prompted")
    before, after = (None, principle.text) if kind == "added" else (principle.text, None)
    return Change(kind, "text", before, after, bears_on, principle.id)


def _renamed(removed: Sequence[Principle], added: Sequence[Principle]) -> dict[str, Principle]:
    """Return the old principle of each renamed one by its new id, matching the most similar pairs first."""
    words = {principle.id: set(principle.text.split()) for principle in (*removed, *added)}
    alike = []
    for former in removed:
        length = len(former.text.split())
        for principle in added:
            # A cheap bound before the exact comparison: at a share of 0.8 at most a third of the old text's
            # words are missing from the new one. It rules out most pairs.
            if 3 * len(words[former.id] - words[principle.id]) <= length:
                share = shared_words(former.text, principle.text, NEARLY_THE_SAME)
                if share:
                    alike.append((-share, former, principle))
    found: dict[str, Principle] = {}
    for _, former, principle in sorted(alike, key=lambda pair: pair[0]):
        if principle.id not in found and former not in found.values():
            found[principle.id] = former
    return found


def _as_json(value: Any) -> Any:
    """Return a field's value as JSON."""
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _as_json(part) for key, part in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return value
