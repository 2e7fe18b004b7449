"""Data models of a constitution: principles, scopes, examples and sections.

The same principle is used for critique, revision and comparison; records store only its id. The models are
frozen and reject unknown keys. The docstring below a field is its description in the JSON Schema, which
editors show.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, model_validator

from constitution.checks.kinds import Check
from constitution.fields import Part, Pattern, Text
from core.digests import digest
from core.errors import ConfigError
from core.text.explain import MAX_ERRORS, Loc, Misfit, MisfitError, one_of, yaml_line
from core.text.yaml_writing import yaml_text

ID_MAX_LENGTH = 64
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_ANCHOR = re.compile(r"#\S+")


def is_id(text: str) -> bool:
    """Return whether a text can be a principle's id."""
    return bool(_ID.fullmatch(text)) and len(text) <= ID_MAX_LENGTH


def _kebab_case(text: str) -> str:
    if not is_id(text):
        accepted = f"at most {ID_MAX_LENGTH} of a-z, 0-9 and '-', beginning with a letter or digit"
        raise ValueError(f"the id {yaml_line(text)} is not in kebab-case; accepted: {accepted}")
    return text


def _passage_name(text: str) -> str:
    if text.startswith("#") or not _ANCHOR.fullmatch(f"#{text}"):
        raise ValueError(
            f"invalid passage name {yaml_line(text)}; accepted: the anchor without '#' and without spaces"
        )
    return text


def _anchor(text: str) -> str:
    if not _ANCHOR.fullmatch(text):
        accepted = "'#' followed by the passage's anchor, without spaces"
        raise ValueError(f"{yaml_line(text)} is not a passage reference; accepted: {accepted}")
    return text


_KEBAB = {"type": "string", "maxLength": ID_MAX_LENGTH, "pattern": f"^{_ID.pattern}$"}
Prose = Annotated[str, StringConstraints(strip_whitespace=True)]
"""Text that may be empty."""
Id = Annotated[str, AfterValidator(_kebab_case), WithJsonSchema(_KEBAB)]
Anchor = Annotated[str, AfterValidator(_anchor), WithJsonSchema({"type": "string", "pattern": r"^#\S+$"})]
PassageName = Annotated[
    str, AfterValidator(_passage_name), WithJsonSchema({"type": "string", "pattern": r"^[^#\s]\S*$"})
]
LintCode = Annotated[str, StringConstraints(pattern=r"^[A-Z][0-9]{3}$")]
Priority = Literal["holistic", "strict"]


class Scope(Part):
    """The prompts that a principle applies to. If both tags and pattern are given, both must match."""

    tags: tuple[Text, ...] = ()
    """Tags; the prompt must have at least one of them."""
    pattern: Pattern | None = None
    """Regular expression to be found in the last user message."""


class Example(Part):
    """A prompt with two answers: a good one that the principle prefers, and a bad one."""

    prompt: Text
    """The user message."""
    good: Text
    """An answer that follows the principle."""
    bad: Text
    """An answer that violates the principle."""
    why: Prose = ""
    """One sentence on why the good answer is better."""
    use: Literal["test", "few_shot"] = "test"
    """`test`: the labeler must prefer the good answer in `publius test`. `few_shot`: the example is shown in
    requests."""


class Principle(Part):
    """One sentence of the constitution, with optional settings for its use."""

    id: Id
    """Identifier of the principle in records. It stays the same when the text is reworded."""
    text: Text
    """The principle, as a sentence about the reply."""
    section: Text | None = None
    """The section of the principle."""
    source: Anchor | None = None
    """The passage that explains the principle, as `#anchor` of an entry in `passages` or of a heading in the
    document. It is shown to critic and labeler together with the text."""
    hard: bool = Field(default=False, strict=True)
    """True if an answer that violates the principle loses, regardless of the other principles."""
    antithesis: Text | None = None
    """The opposite of the text, for contrastive labeling."""
    critique: Text | None = None
    """Custom critique request, in place of the one derived from the text."""
    revision: Text | None = None
    """Custom revision request, in place of the one derived from the text."""
    comparison: Text | None = None
    """Custom comparison question, in place of the one derived from the text."""
    weight: float = Field(default=1.0, ge=0.0, allow_inf_nan=False, strict=True)
    """How often the principle is drawn and how much it counts, relative to the others. 0: the principle is
    only measured. Answers are checked and rated under it, but it plays no part in critiques, labels, rewards
    and system prompts."""
    applies_to: Scope | None = None
    """The prompts that the principle applies to; all prompts by default."""
    exempt: Scope | None = Field(default=None, alias="except")
    """Exceptions: prompts of `applies_to` that the principle does not apply to."""
    examples: tuple[Example, ...] = ()
    """Examples of answers that follow and violate the principle."""
    check: Check | None = None
    """Machine check that decides in place of a model."""
    lint_ignore: tuple[LintCode, ...] = ()
    """Lint codes of `publius check` to ignore for this principle."""


_SILENCERS: Any = {"lint_ignore": True, "principles": {"__all__": {"lint_ignore"}}}


class Constitution(Part):
    """A named list of principles to train a model by."""

    name: Text
    """Name of the constitution in reports and run folders."""
    version: Prose = ""
    """Version label chosen by the author. It is not needed to tell contents apart: the digest does."""
    preamble: Prose = ""
    """Introductory text that templates can show before the principles."""
    priority: Priority = "holistic"
    """`holistic`: all principles are weighed together. `strict`: earlier sections take precedence."""
    sections: tuple[Text, ...] = ()
    """Sections that principles may belong to, the most important first."""
    passages: Mapping[PassageName, Text] = Field(default_factory=dict)
    """Texts that principles refer to in `source`, by anchor without the `#`. Passages that no principle
    refers to are dropped when the file is loaded."""
    lint_ignore: tuple[LintCode, ...] = ()
    """Lint codes of `publius check` to ignore for the whole file."""
    principles: tuple[Principle, ...] = Field(min_length=1)
    """The principles; at least one."""

    @property
    def steering(self) -> tuple[Principle, ...]:
        """The principles that steer, in order: those with a weight of more than 0. Others are measured."""
        return tuple(principle for principle in self.principles if principle.weight > 0)

    @property
    def yardsticks(self) -> tuple[str, ...]:
        """The ids of the principles of weight 0, which are only measured."""
        return tuple(principle.id for principle in self.principles if not principle.weight)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content. Layout, comments and explicitly written defaults do not affect it."""
        # Excluding defaults keeps digests stable when a later version adds a field.
        return digest("constitution", self.model_dump(mode="json", exclude_defaults=True, exclude=_SILENCERS))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields replaced, and a digest of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)  # pydantic copies the cached value of the original
        return copied

    def to_yaml(self) -> str:
        """Return a self-contained YAML file. Loading it gives an equal constitution."""
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return yaml_text(content)

    def passage(self, principle: Principle) -> str:
        """Return the passage that a principle refers to; empty if it has no `source`."""
        return self.passages[principle.source.removeprefix("#")] if principle.source else ""

    def find(self, principle_id: str | None) -> Principle | None:
        """Return the principle with this id, or None if there is none."""
        return next((principle for principle in self.principles if principle.id == principle_id), None)

    def principle(self, principle_id: str) -> Principle:
        """Return the principle with this id.

        Raises:
            ConfigError: The id is unknown.
        """
        principle = self.find(principle_id)
        if principle is not None:
            return principle
        ids = (principle.id for principle in self.principles)
        what = f"unknown principle {principle_id!r} in constitution {self.name!r}"
        raise ConfigError(what, accepted=one_of(ids, principle_id))

    def section_of(self, principle_id: str | None) -> str | None:
        """Return the section of a principle; None if it has none, or no principle has this id."""
        principle = self.find(principle_id)
        return None if principle is None else principle.section

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        members = {index: (p.id, p.section) for index, p in enumerate(self.principles)}
        sources = {index: p.source for index, p in enumerate(self.principles)}
        found = (
            *itertools.islice(conflicts(self.sections, self.priority, members), MAX_ERRORS),
            *itertools.islice(missing_passages(self.passages, sources), MAX_ERRORS),
            *itertools.islice(
                weightless({i: (p.weight, p.hard) for i, p in enumerate(self.principles)}), MAX_ERRORS
            ),
        )
        if found:
            raise MisfitError(found)
        return self


def missing_passages(passages: Collection[str], sources: Mapping[int, object]) -> Iterator[Misfit]:
    """Yield a misfit for each source that names an unknown passage. Values that are not text are ignored."""
    for index, source in sources.items():
        if isinstance(source, str) and _ANCHOR.fullmatch(source) and source[1:] not in passages:
            anchors = [f"#{anchor}" for anchor in passages]
            accepted = (
                one_of(anchors, source) if anchors else "an entry under passages, or a heading in a document"
            )
            yield Misfit(("principles", index, "source"), f"unknown passage {yaml_line(source)}", accepted)


def weightless(given: Mapping[int, tuple[object, object]]) -> Iterator[Misfit]:
    """Yield a misfit for each hard principle without a weight.

    Args:
        given: the weight and `hard` of principles, by position; values may have any type.
    """
    for index, (weight, hard) in given.items():
        if hard is True and type(weight) in (int, float) and weight == 0:
            what = "a principle with `hard: true` has weight 0, by which it is only measured"
            yield Misfit(("principles", index, "weight"), what, "a weight of more than 0, or hard: false")


def conflicts(
    sections: Sequence[str], priority: str, members: Mapping[int, tuple[object, object]]
) -> Iterator[Misfit]:
    """Yield the conflicts between principles that may be valid individually.

    Args:
        sections: The constitution's sections.
        priority: `holistic` or `strict`.
        members: The id and section of principles, by position. Values may have any type, because the loader
            also passes principles with other mistakes; only text is compared.
    """
    yield from _duplicates(((("sections", i), name) for i, name in enumerate(sections)), "section")
    yield from _duplicates(((("principles", i, "id"), member[0]) for i, member in members.items()), "id")
    if priority == "strict" and not sections:
        yield Misfit(
            ("priority",),
            "priority is strict, but there are no sections",
            "a list of sections, or priority: holistic",
        )
    known = frozenset(sections)
    for index, (principle_id, section) in members.items():
        loc: Loc = ("principles", index)
        if sections and isinstance(section, str) and section.strip() not in known:
            yield Misfit(
                (*loc, "section"), f"unknown section {yaml_line(section)}", one_of(sections, section)
            )
        elif sections and section is None and priority == "strict":
            what = f"the principle {yaml_line(principle_id)} has no section, but priority is strict"
            yield Misfit(loc, what, f"a section, {one_of(sections)}")


def _duplicates(named: Iterable[tuple[Loc, object]], kind: str) -> Iterator[Misfit]:
    """Yield a misfit for every repeated name."""
    first: dict[str, Loc] = {}
    for loc, name in named:
        if isinstance(name, str) and first.setdefault(name, loc) != loc:
            yield Misfit(loc, f"duplicate {kind} {yaml_line(name)}", f"each {kind} once", first=first[name])
