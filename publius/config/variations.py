"""Varied settings: `--vary KEY=VALUE,VALUE` and the combinations of all of them, each an ordinary run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

from core.errors import ConfigError
from core.text.yaml_file import parse_yaml

OPTION = "--vary"
_FORM = "KEY=VALUE,VALUE, such as seed=0,1 or constitution=a.yaml,b.yaml"
_FILES = frozenset({".yaml", ".yml", ".json", ".jsonl", ".csv", ".txt"})
_LONGEST_NAME = 64
"""Characters of a run's name at most (`name` in the run file)."""


@dataclass(frozen=True)
class Variation:
    """A setting and the values that it takes."""

    key: str
    values: tuple[object, ...]


@dataclass(frozen=True)
class Combination:
    """One value for each varied setting."""

    settings: tuple[tuple[str, object], ...]

    def overrides(self) -> tuple[str, ...]:
        """Return the settings as arguments of `--set`; JSON is YAML too."""
        return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.settings)

    def name(self, base: str) -> str:
        """Return a name for the run, such as `demo-terse-seed1` from `demo`, cut to the allowed length."""
        keys = [key for key, _ in self.settings]
        words = [base, *(_word(_short(key, keys), value) for key, value in self.settings)]
        return "-".join(word for word in words if word)[:_LONGEST_NAME].rstrip("-._")

    @property
    def cells(self) -> tuple[str, ...]:
        """The values as text, one for each varied setting."""
        return tuple(shown_value(value) for _, value in self.settings)

    def __str__(self) -> str:
        """Return the settings as `constitution=terse.yaml seed=1`."""
        return " ".join(f"{key}={text}" for (key, _), text in zip(self.settings, self.cells, strict=True))


def read_variations(options: Iterable[str], set_options: Iterable[str] = ()) -> tuple[Variation, ...]:
    """Return what the options `--vary` vary.

    Args:
        options: `KEY=VALUE,VALUE` each. The values are those of a YAML list, so one with a comma is quoted.
        set_options: the options `--set` of the same command.

    Raises:
        ConfigError: if an option has another form, or a key has more than one option.
    """
    found: list[Variation] = []
    taken = {option.partition("=")[0]: f"--set {option}" for option in set_options}
    for option in options:
        key, separator, text = option.partition("=")
        if not (key and separator and text.strip()):
            raise ConfigError(f"found {option!r}", where=OPTION, accepted=_FORM)
        if key in taken:
            raise ConfigError(f"{key} is also given by {taken[key]}", where=f"{OPTION} {option}")
        taken[key] = f"{OPTION} {option}"
        found.append(Variation(key, _values(key, text)))
    return tuple(found)


def combinations_of(variations: Sequence[Variation]) -> tuple[Combination, ...]:
    """Return all combinations; the values of the last variation change fastest."""
    keys = [variation.key for variation in variations]
    every = product(*(variation.values for variation in variations))
    return tuple(Combination(tuple(zip(keys, values, strict=True))) for values in every)


def _values(key: str, text: str) -> tuple[object, ...]:
    # A colon makes an address no mapping here: `a: b` needs the space, as in any YAML.
    values = parse_yaml(f"[{text}]", Path(f"{OPTION} {key}")).value
    if not isinstance(values, list) or not values or values == [None]:
        raise ConfigError(f"found {text!r}", where=f"{OPTION} {key}", accepted=_FORM)
    return tuple(values)


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the last part of a key, or all of it if another key ends alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _word(key: str, value: object) -> str:
    """Return a value as a part of a name: `terse` of `rules/terse.yaml`, `seed1`, `train-sft-dpo`."""
    if isinstance(value, str):
        path = PurePosixPath(value)
        return _allowed(path.stem if path.suffix in _FILES else path.name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _allowed(f"{key}{value}")
    return _allowed(f"{key}-{shown_value(value)}")


def shown_value(value: object) -> str:
    """Return a value as text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _allowed(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-")
