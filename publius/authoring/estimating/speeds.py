"""The speed by which the time of a run is estimated: given, or measured by earlier runs of the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError
from core.notices import counted
from publius.authoring.steering.project import SteerProject
from publius.authoring.steering.timing import Speed
from publius.config.run_file import RunConfig
from publius.runs.manifest import MANIFEST, usable_manifest

_TRAINED = 1.5
"""Tokens trained on in the time of one generated token, where only the rate of generation is known: 1.8 with
the embedded model on two CPU cores. Prompts are read, and answers scored, `Speed.scored_per_s` as fast."""
_MIN_SHARE = 0.2
"""Smallest share of a stage's seconds that counts as generation."""
_WRITING = ("critique", "sample", "compare")
_MIN_S = 2.0
"""Seconds that a stage has to have taken for its speed to count."""


class KnownSpeed(NamedTuple):
    """A speed and where it is from."""

    speed: Speed
    source: str


def known_speed(project: Path, config: RunConfig, rate: float | None) -> KnownSpeed | None:
    """Return the speed of a run, or None if none is given and none was measured.

    Args:
        project: folder of the run file.
        config: configuration of the run.
        rate: generated tokens per second as given by the user; takes precedence.

    Raises:
        ConfigError: if the rate is not above 0.
    """
    if rate is not None:
        if not rate > 0:
            raise ConfigError(
                f"found {rate:g}", where="--rate", accepted="generated tokens per second, above 0"
            )
        return KnownSpeed(_speed(rate, _TRAINED * rate), "given by --rate")
    return _of_earlier_runs(project, config) or _of_steering(project, config)


def _of_earlier_runs(project: Path, config: RunConfig) -> KnownSpeed | None:
    """Return the speed that the project's runs with the same policy and kind of engine had."""
    runs = 0
    spent: dict[bool, list[float]] = {True: [0.0, 0.0, 0.0], False: [0.0, 0.0, 0.0]}
    for manifest in _manifests(project):
        engine = manifest["identity"].get("configuration", {}).get("engine", {})
        same = manifest.get("models", {}).get("policy") == config.models.policy.id
        if not same or engine.get("kind", "transformers") != config.engine.kind:
            continue
        runs += 1
        for stage in (*_WRITING, "label"):
            entry = manifest["stages"].get(stage, {})
            requests, seconds = entry.get("requests", {}), float(entry.get("seconds", 0.0))
            if seconds < _MIN_S or not requests.get("asked"):
                continue
            generated = requests.get("completion_tokens", 0)
            sums = spent[generated > 0]
            for place, value in enumerate((generated, requests.get("prompt_tokens", 0), seconds)):
                sums[place] += value
    generated, prompts, seconds = spent[True]
    if not generated:
        return None
    _, read, reading_s = spent[False]
    if reading_s:
        read_per_s = read / reading_s
        # What is left of the seconds when the prompts are read at that rate was spent on generation.
        writing_s = max(seconds - prompts / read_per_s, _MIN_SHARE * seconds)
        found = _speed(generated / writing_s, read_per_s / _speed(1.0, 1.0).scored_per_s)
    else:
        one = _speed(1.0, _TRAINED)
        found = _speed((generated + prompts / one.scored_per_s) / seconds, _TRAINED * generated / seconds)
    return KnownSpeed(found, f"measured in {counted(runs, 'earlier run')} of the project")


def _of_steering(project: Path, config: RunConfig) -> KnownSpeed | None:
    """Return the speed that `publius steer` measured for the plan in the folder, if it is for this model."""
    facts = SteerProject(project).facts()
    if facts is None or facts.options.get("model") != config.models.policy.id:
        return None
    return KnownSpeed(facts.measured(), "measured by publius steer")


def _manifests(project: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(project.glob(f"runs/*/{MANIFEST}")):
        manifest = usable_manifest(path)
        if manifest is not None:
            yield manifest


def _speed(generated_per_s: float, trained_per_s: float) -> Speed:
    return Speed(generated_per_s, trained_per_s, answer_tokens=0.0, prompt_tokens=0.0, load_s=0.0)
