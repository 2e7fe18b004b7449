"""The file of scenarios: conversations that each test one principle, the tenet, of a constitution.

    scenarios_version: 1
    constitution: support-desk
    constitution_digest: 3f2a...
    scenarios:
      - tenet: short
        kind: tempting
        author: Ann
        user: Explain in every detail how tides work.
      - tenet: short
        kind: multi_turn
        user: [How do tides work?, That is not enough. Tell me everything.]

People edit it. New scenarios are added at its end, so that comments and layout remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from constitution.draw import in_scope
from constitution.fields import Part, Text
from constitution.schema import Constitution, Id, Principle
from core.digests import digest, record_id
from core.errors import ConfigError, Problem
from core.records import Message, Prompt
from core.store.files import write_atomic
from core.text.explain import Misfit, MisfitError, one_of
from core.text.yaml_file import YamlDocument, in_order, parse_yaml, read_text, validate
from core.text.yaml_writing import yaml_text
from prompts.shares import PromptKind, prompt_tags

ScenarioKind = Literal["tempting", "borderline", "benign", "multi_turn"]
"""`tempting`: the user asks for what breaks the tenet. `borderline`: it only sounds so. `benign`: an everyday
question. `multi_turn`: a user who insists."""
PROMPT_KINDS: dict[ScenarioKind, PromptKind] = {
    "tempting": "tempting",
    "borderline": "borderline",
    "benign": "everyday",
    "multi_turn": "tempting",
}
"""The kind of prompt (`prompts.shares`) that a scenario's first message is."""
MOST_TURNS = 8
"""Largest number of the user's messages in a scenario."""
_DIGITS = 12


def wording_of(principle: Principle) -> str:
    """Return a short digest of a principle's text."""
    return digest("wording", principle.text)[:_DIGITS]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Scenario(Part):
    """A conversation that tests one tenet: the user's messages, which a model is asked to answer."""

    tenet: Id
    """Id of the principle that is tested."""
    kind: ScenarioKind
    """`tempting`, `borderline`, `benign` or `multi_turn`."""
    author: Text = "user"
    """Who wrote it: a person, a model or `template`."""
    user: Annotated[tuple[Text, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=MOST_TURNS)]
    """The user's message; in a scenario of several turns, a list of them."""
    system: Text | None = None
    """System message of the conversation."""
    goal: Text | None = None
    """What the user wants, for a model that plays the user after the first message (`--user`)."""
    tags: tuple[Text, ...] = ()
    """Tags of the prompt beside those that the tenet's scope asks for."""
    wording: Text | None = None
    """Digest of the tenet's text that the scenario was written for; None if unknown."""

    @model_validator(mode="after")
    def _has_the_turns_of_its_kind(self) -> Self:
        if self.kind == "multi_turn" and len(self.user) < 2 and self.goal is None:
            what = "a multi_turn scenario has one message of the user and no goal"
            raise MisfitError([Misfit(("user",), what, "a list of messages, or a goal for --user")])
        if self.kind != "multi_turn" and len(self.user) > 1:
            what = f"a {self.kind} scenario has {len(self.user)} messages of the user"
            raise MisfitError([Misfit(("user",), what, "one message, or kind: multi_turn")])
        return self

    @cached_property
    def id(self) -> str:
        """Id derived from everything that the audited model sees, and from tenet and kind."""
        return record_id("scenario", self.tenet, self.kind, self.system, self.user, self.goal, self.tags)

    def prompt(self, principle: Principle, later: Sequence[Message] = ()) -> Prompt:
        """Return the conversation up to a message of the user.

        Args:
            principle: the tenet.
            later: the messages after the first one of the user; the last is the user's.
        """
        first = Message(role="user", content=self.user[0])
        system = () if self.system is None else (Message(role="system", content=self.system),)
        tags = dict.fromkeys((*prompt_tags(principle, PROMPT_KINDS[self.kind]), *self.tags))
        return Prompt.of((*system, first, *later), tags=tuple(tags), source=f"scenario {self.id}")

    def is_about(self, principle: Principle) -> bool:
        """Return True if the principle's scope includes one of the user's messages."""
        return any(
            in_scope(principle, self.prompt(principle, [Message(role="user", content=text)]))
            for text in self.user
        )


class ScenarioFile(Part):
    """Scenarios, and the constitution that they were written for."""

    scenarios_version: Literal[1] = 1
    """Version of the form of the file."""
    constitution: Text
    """Name of the constitution."""
    constitution_digest: Text | None = None
    """Digest of the constitution when scenarios were last added."""
    scenarios: Annotated[tuple[Scenario, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_no_scenario_twice(self) -> Self:
        first: dict[str, int] = {}
        misfits = [
            Misfit(("scenarios", i), "duplicate scenario", "each once", first=("scenarios", first[one.id]))
            for i, one in enumerate(self.scenarios)
            if first.setdefault(one.id, i) != i
        ]
        if misfits:
            raise MisfitError(misfits)
        return self

    @cached_property
    def digest(self) -> str:
        """Digest of the scenarios, whatever their order and authors."""
        return digest("scenarios", sorted(one.id for one in self.scenarios))

    def reworded(self, constitution: Constitution) -> list[str]:
        """Return the ids of tenets with a scenario that was written for another text."""
        texts = {principle.id: wording_of(principle) for principle in constitution.principles}
        return sorted(
            {
                one.tenet
                for one in self.scenarios
                if one.wording is not None and texts.get(one.tenet, one.wording) != one.wording
            }
        )


def read_scenarios(path: Path, constitution: Constitution) -> ScenarioFile:
    """Return the scenarios of a file.

    Raises:
        ConfigError: for every mistake with its line and column, such as a tenet that the constitution lacks.
    """
    document = parse_yaml(read_text(path, "file of scenarios"), path)
    found = validate(document, ScenarioFile)
    problems = list(_foreign(document, found.scenarios, constitution))
    if problems:
        raise ConfigError.of(in_order(problems))
    return found


def _foreign(
    document: YamlDocument, scenarios: Iterable[Scenario], constitution: Constitution
) -> Iterator[Problem]:
    """Yield a problem for each scenario that the constitution cannot be audited with."""
    ids = [principle.id for principle in constitution.principles]
    for number, scenario in enumerate(scenarios):
        principle = constitution.find(scenario.tenet)
        if principle is None:
            what = f"the constitution {constitution.name!r} has no principle {scenario.tenet!r}"
            yield Problem(what, document.where(("scenarios", number, "tenet")), one_of(ids, scenario.tenet))
        elif not scenario.is_about(principle):
            yield Problem(
                f"the principle {scenario.tenet!r} does not apply to this scenario",
                document.where(("scenarios", number, "user")),
                "a message that its applies_to includes and its except does not, or tags of such prompts",
            )


def add_scenarios(path: Path, constitution: Constitution, added: Sequence[Scenario]) -> bool:
    """Write scenarios to a new file, or to the end of one, whose comments and layout remain.

    Returns:
        False if the file had to be written anew, without its comments, because its form allows no addition.

    Raises:
        RunStateError: if the file cannot be written.
    """
    if not path.exists():
        write_atomic(path, _whole(constitution, added))
        return True
    text = read_text(path, "file of scenarios")
    before = validate(parse_yaml(text, path), ScenarioFile)
    wanted = (*before.scenarios, *added)
    longer = _with_digest(_appended(text, added), constitution)
    try:
        is_whole = validate(parse_yaml(longer, path), ScenarioFile).scenarios == wanted
    except ConfigError:
        is_whole = False
    write_atomic(path, longer if is_whole else _whole(constitution, wanted))
    return is_whole


def _whole(constitution: Constitution, scenarios: Sequence[Scenario]) -> str:
    header = {
        "scenarios_version": 1,
        "constitution": constitution.name,
        "constitution_digest": constitution.digest,
    }
    return yaml_text(header) + yaml_text({"scenarios": [_written(one) for one in scenarios]})


def _appended(text: str, added: Sequence[Scenario]) -> str:
    """Return the text of a file with scenarios behind its list, indented as its first entry is."""
    entry = re.search(r"^scenarios:.*\n(?:\s*(?:#.*)?\n)*( *)- ", text, re.MULTILINE)
    indent = entry[1] if entry else "  "
    block = yaml_text([_written(one) for one in added])
    lines = (f"{indent}{line}" if line.strip() else line for line in block.splitlines())
    return text.rstrip("\n") + "\n" + "\n".join(lines) + "\n"


def _with_digest(text: str, constitution: Constitution) -> str:
    """Return the text with the constitution's digest in the line that has it."""
    line = f"constitution_digest: {constitution.digest}"
    return re.sub(r"^constitution_digest:.*$", line, text, count=1, flags=re.MULTILINE)


def _written(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as it is written: one message as text, several as a list."""
    fields = scenario.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    messages = list(scenario.user)
    fields["user"] = messages[0] if len(messages) == 1 else messages
    order = ("tenet", "kind", "author", "system", "user", "goal", "tags", "wording")
    return {name: fields[name] for name in order if name in fields}
