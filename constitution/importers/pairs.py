"""Importers for formats with pairs of critique and revision requests: llm-swarm and LangChain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from constitution.importers.few_shots import SEVERAL_TURNS, Revised, attach_revision
from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile
from core.text.explain import Loc, yaml_line

_CHAT = ("user", "assistant") * 3
"""Roles of: prompt, answer, critique request, critique, revision request, revision."""


class LlmSwarm:
    """The constitution files of llm-swarm and the alignment handbook."""

    name = "llm-swarm"
    summary = "an object with constitutions (critic, revision) and system_chat, as used by llm-swarm"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file has this format; None if it does not."""
        value = file.value if file.structured else None
        pairs = value.get("constitutions") if isinstance(value, dict) else None
        first = pairs[0] if isinstance(pairs, list) and pairs else None
        is_pair = isinstance(first, dict) and {"critic", "revision"} <= first.keys()
        return "its constitutions have critic and revision" if is_pair else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the pairs to `reading` as principles, then the chats as their examples."""
        value = file.value
        pairs = value.get("constitutions") if isinstance(value, dict) else None
        if not isinstance(pairs, list):
            accepted = "an object with a list under the key constitutions"
            reading.refuse("the list of constitutions is missing", file.where(), accepted)
            return
        reading.ignore([key for key in value if key not in ("constitutions", "system_chat")])
        for index, pair in enumerate(pairs):
            loc: Loc = ("constitutions", index)
            _pair(pair, {"critique": "critic", "revision": "revision"}, (file, loc), reading)
        chats = value.get("system_chat", [])
        if not isinstance(chats, list):
            reading.refuse(f"system_chat is {yaml_line(chats)}", file.where("system_chat"), "a list of chats")
            return
        for index, chat in enumerate(chats):
            _chat(chat, file.where("system_chat", index), reading)


class LangChain:
    """The principles of LangChain's constitutional chain, as a list or by name."""

    name = "langchain"
    summary = "ConstitutionalPrinciple objects (name, critique_request, revision_request), in JSON or YAML"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file has this format; None if it does not."""
        entries = list(_entries(file.value)) if file.structured else []
        first = entries[0][1] if entries else None
        is_one = isinstance(first, dict) and {"critique_request", "revision_request"} <= first.keys()
        return "its entries have critique_request and revision_request" if is_one else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the principles to `reading`. A principle without a name gets that of its key."""
        keys = {"critique": "critique_request", "revision": "revision_request", "name": "name"}
        if not isinstance(file.value, dict | list):
            what, accepted = (
                f"the file is {yaml_line(file.value)}",
                "a list of principles, or principles by name",
            )
            reading.refuse(what, file.where(), accepted)
            return
        for loc, entry in _entries(file.value):
            _pair(entry, keys, (file, loc), reading)


def _entries(value: object) -> Iterator[tuple[Loc, Any]]:
    """Yield the principles of a list, of an object by name, or of an object that is one principle."""
    if isinstance(value, dict) and "critique_request" in value:
        yield (), value
    elif isinstance(value, dict):
        yield from (((key,), entry) for key, entry in value.items())
    elif isinstance(value, list):
        yield from (((index,), entry) for index, entry in enumerate(value))


def _pair(entry: object, keys: Mapping[str, str], at: tuple[ForeignFile, Loc], reading: Reading) -> None:
    """Add one pair as a principle. `keys` maps critique, revision and optionally name to the form's keys."""
    file, loc = at
    if not isinstance(entry, Mapping):
        accepted = f"an object with {' and '.join(keys.values())}"
        reading.refuse(f"an entry is {yaml_line(entry)}", file.where(*loc), accepted)
        return
    reading.ignore([key for key in entry if key not in keys.values()])
    texts = {
        ours: reading.text_at(entry.get(theirs), theirs, file.where(*loc, theirs))
        for ours, theirs in keys.items()
        if ours != "name"
    }
    name = entry.get(keys.get("name", ""), loc[-1] if loc and isinstance(loc[-1], str) else None)
    if all(texts.values()):
        reading.take(file.where(*loc), texts, name=name)


def _chat(chat: object, where: str, reading: Reading) -> None:
    """Attach a chat as an example to the principles with its critique request."""
    turns = [turn for turn in chat if isinstance(turn, Mapping)] if isinstance(chat, list) else []
    texts = [turn.get("content") for turn in turns]
    contents = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    if not isinstance(chat, list) or len(contents) != len(chat) or len(contents) < len(_CHAT):
        reading.refuse("a chat is incomplete", where, f"at least {len(_CHAT)} messages with role and content")
    elif tuple(turn.get("role") for turn in turns) != _CHAT:
        reading.skip(SEVERAL_TURNS, where)
    else:
        attach_revision(reading, Revised(*contents), where)
