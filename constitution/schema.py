"""What a constitution may say: the models behind `constitution.yaml`.

One principle feeds critique, revision and comparison; only its id travels in the records. The models are
frozen, refuse unknown keys, and carry their own documentation: the text below a field is what the JSON Schema
and the editors that read it show.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
            f"the passage {yaml_line(text)} cannot be named; accepted: the anchor without '#', no spaces"
        )
    return text


def _anchor(text: str) -> str:
    if not _ANCHOR.fullmatch(text):
        raise ValueError(
            f"{yaml_line(text)} names no passage; accepted: '#' and the passage's anchor, no spaces"
        )
    return text


_KEBAB = {"type": "string", "maxLength": ID_MAX_LENGTH, "pattern": f"^{_ID.pattern}$"}
Prose = Annotated[str, StringConstraints(strip_whitespace=True)]
"""Text that may also be empty."""
Id = Annotated[str, AfterValidator(_kebab_case), WithJsonSchema(_KEBAB)]
Anchor = Annotated[str, AfterValidator(_anchor), WithJsonSchema({"type": "string", "pattern": r"^#\S+$"})]
PassageName = Annotated[
    str, AfterValidator(_passage_name), WithJsonSchema({"type": "string", "pattern": r"^[^#\s]\S*$"})
]
LintCode = Annotated[str, StringConstraints(pattern=r"^[A-Z][0-9]{3}$")]
Priority = Literal["holistic", "strict"]


class Scope(Part):
    """The prompts that a principle is about. Where tags and pattern are given, both must hold."""

    tags: tuple[Text, ...] = ()
    """The prompt bears at least one of these tags."""
    pattern: Pattern | None = None
    """A regular expression that is found in the last message of the user."""


class Example(Part):
    """Two answers to one prompt, of which the principle prefers the first."""

    prompt: Text
    """What the user says."""
    good: Text
    """An answer that fulfils the principle."""
    bad: Text
    """An answer that does not."""
    why: Prose = ""
    """Why the good answer is better, in a sentence."""
    use: Literal["test", "few_shot"] = "test"
    """`test`: the labeler must prefer the good answer; `few_shot`: it is shown to the labeler."""


class Principle(Part):
    """One sentence of the constitution, with what helps to apply it."""

    id: Id
    """The name by which records speak of the principle; it outlives a rewording of the text."""
    text: Text
    """The principle itself, as a sentence about the reply."""
    section: Text | None = None
    """The section that it belongs to."""
    source: Anchor | None = None
    """The passage behind it, as `#anchor` of `passages` or of a heading of the document: shown to critic and
    labeler together with the text."""
    hard: bool = Field(default=False, strict=True)
    """Whether a violation excludes an answer, whatever else the answer does well."""
    antithesis: Text | None = None
    """The opposite of the text, for contrastive labeling."""
    critique: Text | None = None
    """The request for a critique, where the one derived from the text will not do."""
    revision: Text | None = None
    """The request for a revision, where the one derived from the text will not do."""
    comparison: Text | None = None
    """The question that compares two answers, where the one derived from the text will not do."""
    weight: float = Field(default=1.0, gt=0.0, allow_inf_nan=False, strict=True)
    """How often it is drawn and how much it counts, relative to the others."""
    applies_to: Scope | None = None
    """The prompts that it is about; every prompt by default."""
    exempt: Scope | None = Field(default=None, alias="except")
    """The prompts that it is not about, of those in `applies_to`."""
    examples: tuple[Example, ...] = ()
    """Answers that show what is meant."""
    check: Check | None = None
    """A test that a machine can do in place of a model."""
    lint_ignore: tuple[LintCode, ...] = ()
    """Codes of `publius check` that are not told about this principle."""


_SILENCERS: Any = {"lint_ignore": True, "principles": {"__all__": {"lint_ignore"}}}


class Constitution(Part):
    """A named list of principles: what a model is to be steered by."""

    name: Text
    """The name in reports and run folders."""
    version: Prose = ""
    """The author's version; the digest tells contents apart without it."""
    preamble: Prose = ""
    """Prose that every template can show before the principles."""
    priority: Priority = "holistic"
    """`holistic`: principles are weighed together; `strict`: an earlier section decides first."""
    sections: tuple[Text, ...] = ()
    """The sections that principles may name, the most important first."""
    passages: Mapping[PassageName, Text] = Field(default_factory=dict)
    """Texts that principles name in `source`, by their anchors without the `#`. Only those that a principle
    names are kept."""
    lint_ignore: tuple[LintCode, ...] = ()
    """Codes of `publius check` that are not told about this file."""
    principles: tuple[Principle, ...] = Field(min_length=1)
    """The principles, at least one."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the constitution says; layout, comments and written-out defaults change nothing."""
        # Defaults are left out, so that a field added in a later version changes no digest either.
        return digest("constitution", self.model_dump(mode="json", exclude_defaults=True, exclude=_SILENCERS))

    def to_yaml(self) -> str:
        """Return a file that says all of it by itself, and from which an equal constitution is loaded."""
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return yaml_text(content)

    def passage(self, principle: Principle) -> str:
        """Return the passage that a principle points at; nothing if it names none."""
        return self.passages[principle.source.removeprefix("#")] if principle.source else ""

    def find(self, principle_id: str | None) -> Principle | None:
        """Return the principle of that id, or None if there is none."""
        return next((principle for principle in self.principles if principle.id == principle_id), None)

    def principle(self, principle_id: str) -> Principle:
        """Return the principle of that id.

        Raises:
            ConfigError: There is none.
        """
        principle = self.find(principle_id)
        if principle is not None:
            return principle
        ids = (principle.id for principle in self.principles)
        what = f"there is no principle {principle_id!r} in constitution {self.name!r}"
        raise ConfigError(what, accepted=one_of(ids, principle_id))

    def section_of(self, principle_id: str | None) -> str | None:
        """Return the section of a principle; None if it has none, or there is no principle of that id."""
        principle = self.find(principle_id)
        return None if principle is None else principle.section

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        members = {index: (p.id, p.section) for index, p in enumerate(self.principles)}
        sources = {index: p.source for index, p in enumerate(self.principles)}
        found = (
            *itertools.islice(conflicts(self.sections, self.priority, members), MAX_ERRORS),
            *itertools.islice(missing_passages(self.passages, sources), MAX_ERRORS),
        )
        if found:
            raise MisfitError(found)
        return self


def missing_passages(passages: Collection[str], sources: Mapping[int, object]) -> Iterator[Misfit]:
    """Yield the sources of principles, by their position, that name no passage; only text is looked at."""
    for index, source in sources.items():
        if isinstance(source, str) and _ANCHOR.fullmatch(source) and source[1:] not in passages:
            anchors = [f"#{anchor}" for anchor in passages]
            accepted = one_of(anchors, source) if anchors else "passages, or a document"
            yield Misfit(
                ("principles", index, "source"), f"there is no passage {yaml_line(source)}", accepted
            )


def conflicts(
    sections: Sequence[str], priority: str, members: Mapping[int, tuple[object, object]]
) -> Iterator[Misfit]:
    """Yield what is wrong between principles that may each be right on their own.

    Args:
        sections: The constitution's sections.
        priority: `holistic` or `strict`.
        members: The id and the section of principles, by their position. The loader also asks about
            principles that have other mistakes, hence ids and sections of any type; only text is compared.
    """
    yield from _duplicates(((("sections", i), name) for i, name in enumerate(sections)), "section")
    yield from _duplicates(((("principles", i, "id"), member[0]) for i, member in members.items()), "id")
    if priority == "strict" and not sections:
        yield Misfit(("priority",), "priority is strict, but there are no sections", "sections, or holistic")
    known = frozenset(sections)
    for index, (principle_id, section) in members.items():
        loc: Loc = ("principles", index)
        if sections and isinstance(section, str) and section.strip() not in known:
            yield Misfit(
                (*loc, "section"), f"unknown section {yaml_line(section)}", one_of(sections, section)
            )
        elif sections and section is None and priority == "strict":
            what = f"the principle {yaml_line(principle_id)} has no section, and priority is strict"
            yield Misfit(loc, what, f"a section, {one_of(sections)}")


def _duplicates(named: Iterable[tuple[Loc, object]], kind: str) -> Iterator[Misfit]:
    """Yield a misfit for every name that has occurred before."""
    first: dict[str, Loc] = {}
    for loc, name in named:
        if isinstance(name, str) and first.setdefault(name, loc) != loc:
            yield Misfit(loc, f"duplicate {kind} {yaml_line(name)}", f"each {kind} once", first=first[name])
