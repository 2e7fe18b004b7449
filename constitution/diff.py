"""What changed between two constitutions, and what each change bears on.

Principles are compared by id, the name by which draws and records speak of them. A principle whose id was
changed and whose text is nearly the same is told as renamed; to a run it is one principle gone and another
one come, because its draws go by the id.

What a change bears on follows from the rest of Publius: a request shows the text of a principle and some of
its fields (prompts/templates), a draw depends on id, weight and scope (constitution/draw.py), and judgments
become preferences by weights, tiers and hard checks (labelers/crowd/aggregate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from constitution.schema import Constitution, Principle
from core.text.similarity import shared_words

Effect = Literal["critique", "revision", "labels", "draw", "checks", "aggregation", "rules", "prompted"]
"""What a change bears on:

critique, revision, labels   these requests show something else: asked again where the principle is drawn
draw                         other principles are drawn: asked is what was not drawn before
checks                       machine checks give other judgments; no model is asked
aggregation                  the same judgments come to other probabilities; no model is asked
rules                        as aggregation, and only where `label.rules` names the section
prompted                     the system prompt of the evaluation's variant `prompted`
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
"""Share of words in common, in order, from which on a removed and an added principle are told as a rename."""

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
"""How a change of each field is called; `hard` has a name for each direction."""
_BEARS_ON: dict[str, tuple[Effect, ...]] = {
    "text": (*_ASKED, "prompted"),
    "critique": ("critique", "revision"),  # a revision follows its critique
    "revision": ("revision",),
    "comparison": ("labels",),
    "weight": ("draw", "aggregation"),
    "applies_to": ("draw", "checks", "prompted"),
    "exempt": ("draw", "checks", "prompted"),
    "antithesis": (),
    "lint_ignore": (),
}
"""What fields bear on whatever their values are; of the others `_effects` decides."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    kind: ChangeKind
    field: str
    """The field of the principle or of the constitution, as a file writes it."""
    before: Any
    """The older value as JSON knows it; None where there was none."""
    after: Any
    bears_on: tuple[Effect, ...]
    principle: str | None = None
    """The principle's id in the newer constitution, or in the older one if it was removed; None where the
    change is about the constitution as a whole."""


@dataclass(frozen=True, slots=True)
class ConstitutionDiff:
    """All differences of two constitutions: those of the whole first, then principle by principle."""

    old: Constitution
    new: Constitution
    changes: tuple[Change, ...]

    @property
    def bears_on(self) -> set[Effect]:
        """What the changes together bear on."""
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
    """Return what changed from one constitution to another."""
    before = {principle.id: principle for principle in old.principles}
    after = {principle.id: principle for principle in new.principles}
    gone = [principle for principle in old.principles if principle.id not in after]
    come = [principle for principle in new.principles if principle.id not in before]
    renamed = _renamed(gone, come)
    changes = list(_whole(old, new))
    for principle in new.principles:
        former = before.get(principle.id) or renamed.get(principle.id)
        if former is None:
            changes.append(_come_or_gone("added", principle))
            continue
        if former.id != principle.id:
            changes.append(Change("renamed", "id", former.id, principle.id, ("draw",), principle.id))
        changes += _fields(old, new, former, principle)
    kept = {former.id for former in renamed.values()}
    changes += [_come_or_gone("removed", principle) for principle in gone if principle.id not in kept]
    return ConstitutionDiff(old, new, tuple(changes))


def _whole(old: Constitution, new: Constitution) -> Iterator[Change]:
    """Yield what changed about the constitution as a whole."""
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
            # One that came or went is told by the principles whose source it is.
            known = before is not None and after is not None and f"#{anchor}" in pointed
            yield Change("changed", f"passages.{anchor}", before, after, _ASKED if known else ())


def _fields(
    old: Constitution, new: Constitution, former: Principle, principle: Principle
) -> Iterator[Change]:
    """Yield what changed about a principle that both constitutions have."""
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
    """Return what a changed field of a principle bears on."""
    (old, former), (new, principle) = one, other
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
        # With a check a principle is none of the AI labeler's, so that others are drawn in its place.
        joins_or_leaves = former.check is None or principle.check is None
        effects = ("draw", "checks") if joins_or_leaves else ("checks",)
    else:
        effects = _BEARS_ON[field]
    checked = former.check is not None and principle.check is not None
    never = {"labels"} if checked else {"checks"} if field in ("applies_to", "exempt") else set()
    return tuple(effect for effect in effects if effect not in never)


def _of_examples(former: Principle, principle: Principle) -> tuple[Effect, ...]:
    """Return what changed examples bear on: critics see few-shots with their `why`, labelers without."""
    before, now = (
        [example for example in p.examples if example.use == "few_shot"] for p in (former, principle)
    )
    effects: tuple[Effect, ...] = ()
    if [example for example in before if example.why] != [example for example in now if example.why]:
        effects = ("critique", "revision")
    if [(e.prompt, e.good, e.bad) for e in before] != [(e.prompt, e.good, e.bad) for e in now]:
        effects = (*effects, "labels")
    return effects


def _come_or_gone(kind: Literal["added", "removed"], principle: Principle) -> Change:
    bears_on: tuple[Effect, ...] = ("draw", "prompted")
    if principle.check is not None:
        bears_on = ("draw", "checks", "prompted")
    before, after = (None, principle.text) if kind == "added" else (principle.text, None)
    return Change(kind, "text", before, after, bears_on, principle.id)


def _renamed(gone: Sequence[Principle], come: Sequence[Principle]) -> dict[str, Principle]:
    """Return, by new id, the principles that were removed and came again under it, the most alike first."""
    words = {principle.id: set(principle.text.split()) for principle in (*gone, *come)}
    alike = []
    for former in gone:
        length = len(former.text.split())
        for principle in come:
            # A share of 0.8 leaves at most a third of a text's words without their like: most end here.
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
    """Return a field's value as JSON knows it."""
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _as_json(part) for key, part in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return value
