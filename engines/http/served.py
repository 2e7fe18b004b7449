"""Which model a server has under a name: what its list of models says, and what its responses say."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from core.digests import digest
from core.errors import ConfigError
from core.notices import note, warn
from core.terminal.inert import inert
from engines.http.faults import TryFailedError, shortened

_SHOWN = 12
"""Names of models in a message."""
_SNAPSHOT = re.compile(r"[-@:](?:\d[\d.\-]*|latest|free|preview[\w.\-]*)$")
"""End of a name that a provider adds to say which version of the model it is."""
_ONLY_STARS = re.compile(r"[\[?]")
"""What else than `*` is special in a pattern of `fnmatch`."""
_RECENT_S = 60.0
"""Seconds before now from which a time of creation is taken for that of the request."""
_ALIAS_AFTER = 3
"""Responses in a row under one other name, the first ones of a command, after which it is an alias."""


@dataclass(frozen=True)
class ServedModel:
    """A model as the list of its server describes it."""

    name: str
    """Name under which it is asked for."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What stays the same as long as the model does: `root`, `parent`, `owned_by`, `meta`.

    Not the address: the same model behind another one gives the same answers.
    """
    created: int | None = None
    """Time at which the model was made or fetched, by which a change may be found; no part of the identity,
    because vLLM and llama.cpp write the time of the request there (it is None then)."""

    @property
    def description(self) -> dict[str, Any]:
        """Everything by which a change of the model can be found."""
        return {**self.facts, **({} if self.created is None else {"created": self.created})}

    @property
    def identity(self) -> str:
        """Digest of the name and the facts."""
        return digest("http", self.name, self.facts)[:32]


def served_in(value: Mapping[str, Any], name: str, where: str) -> ServedModel:
    """Return the model with a name from the response of `/v1/models`.

    Raises:
        TryFailedError: if the response is no list of models.
        ConfigError: if the list does not have the name.
    """
    entries = value.get("data")
    if not isinstance(entries, list):
        raise TryFailedError("no list of models in the response")
    described = [entry for entry in entries if isinstance(entry, dict) and entry.get("id")]
    listed = {inert(str(entry["id"])): entry for entry in described}
    entry = listed.get(name, listed.get(f"{name}:latest"))
    if entry is not None:
        return ServedModel(name, _facts(entry), _created(entry.get("created")))
    if any("*" in known and fnmatchcase(name, _ONLY_STARS.sub(r"[\g<0>]", known)) for known in listed):
        return ServedModel(name)  # a proxy that passes on whatever fits the pattern
    shown = ", ".join(shortened(known) for known in list(listed)[:_SHOWN])
    more = f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    raise ConfigError(
        f"{where} has no model {name!r}",
        where="models.ROLE.id",
        accepted=f"{shown}{more}" if listed else "a server with a model: it lists none",
    )


def _created(value: object) -> int | None:
    """Return a time, unless it is that of the request."""
    return value if isinstance(value, int) and value < time.time() - _RECENT_S else None


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("root", "parent", "owned_by")
    facts: dict[str, Any] = {key: inert(entry[key]) for key in names if isinstance(entry.get(key), str)}
    root = facts.get("root", "")
    if root.startswith(("/", "~", ".")) or "\\" in root:
        facts["root"] = re.split(r"[/\\]", root.rstrip("/\\"))[-1]  # a folder, which differs between machines
    if facts.get("root") == inert(str(entry["id"])):
        del facts["root"]
    meta = entry.get("meta")
    if isinstance(meta, dict):
        facts["meta"] = {
            inert(name): inert(value) if isinstance(value, str) else value
            for name, value in sorted(meta.items())
            if isinstance(value, str | int) and name != "n_ctx"
        }
    return facts


@dataclass
class Responders:
    """The names and fingerprints under which a server answers for one model.

    It warns once if they change: the weights or the software behind the name may be others then.
    """

    name: str
    root: str = ""
    where: str = ""
    models: list[str] = field(default_factory=list)
    """Names in responses, in the order in which they were first seen."""
    fingerprints: list[str] = field(default_factory=list)
    """Values of `system_fingerprint`, likewise."""
    _stranger: tuple[str, int] = ("", 0)
    """The other name of the last responses, and how many in a row had it."""
    _met: bool = False
    """True once a response of this command was accepted."""
    _warned: bool = False

    def check(self, value: Mapping[str, Any]) -> None:
        """Note who answered.

        Raises:
            TryFailedError: if it was another model, as a proxy may send it.
        """
        model, fingerprint = value.get("model"), value.get("system_fingerprint")
        if isinstance(model, str) and model:
            if shortened(model) not in self.models and not self._is_expected(model):
                self._meet(model)
            self._met = True
            self._note(self.models, shortened(model), "as")
        if isinstance(fingerprint, str) and fingerprint:
            self._note(self.fingerprints, shortened(fingerprint), "with the fingerprint")

    def remember(self, seen: Mapping[str, Any]) -> None:
        """Take over what earlier commands of a run saw (`as_json`)."""
        self.models = _all_of(seen.get("models", []), self.models)
        self.fingerprints = _all_of(seen.get("fingerprints", []), self.fingerprints)

    def as_json(self) -> dict[str, list[str]]:
        """Return what was seen, for the manifest."""
        seen = {"models": self.models, "fingerprints": self.fingerprints}
        return {name: values for name, values in seen.items() if values}

    def _is_expected(self, model: str) -> bool:
        known = {_bare(self.name), _bare(self.root)}
        return bool(known & {_bare(model), _SNAPSHOT.sub("", _bare(model))}) or any(
            _SNAPSHOT.sub("", name) == _bare(model) for name in known if name
        )

    def _meet(self, model: str) -> None:
        """Accept another name if the first responses of this command have it.

        An earlier command may have met another one: `_note` warns of the change.
        """
        name, count = self._stranger
        self._stranger = (model, count + 1 if name == model else 1)
        if self._met or self._stranger[1] < _ALIAS_AFTER:
            raise TryFailedError("another model answered", shortened(model))
        if not self.models:
            note(f"{self.where}: {self.name} is answered by {shortened(model)}")

    def _note(self, seen: list[str], value: str, what: str) -> None:
        if value in seen:
            return
        if seen and not self._warned:
            self._warned = True
            warn(
                f"{self.where}: the model behind {self.name} has changed: it answers {what} {value}, "
                f"before {seen[-1]}; its answers may be those of other weights or other software"
            )
        seen.append(value)


def _all_of(earlier: Iterable[object], later: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*map(str, earlier), *later]))


def _bare(name: str) -> str:
    """Return a model's name without its provider and what servers add to it."""
    return re.split(r"[/\\]", name.lower())[-1].removesuffix(":latest").removesuffix(".gguf")
