"""The speed by which the time of a run is estimated: given, or measured by earlier runs of the project."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError, PubliusError
from core.notices import counted
from core.text.yaml_file import read_yaml
from publius.authoring.steering.project import SteerProject
from publius.authoring.steering.timing import Speed
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineRole
from publius.runs.inputs import RESOLVED
from publius.runs.manifest import MANIFEST, usable_manifest

_TRAINED = 1.5
"""Tokens trained on in the time of one generated token, where only the rate of generation is known: 1.8 with
the embedded model on two CPU cores. Prompts are read, and answers scored, `Speed.scored_per_s` as fast."""
_MIN_SHARE = 0.2
"""Smallest share of a stage's seconds that counts as generation."""
_ROLES: Mapping[str, tuple[EngineRole, ...]] = {
    "critique": ("policy", "critic"),
    "sample": ("policy",),
    "compare": ("policy",),
    "label": ("labeler",),
}
"""Stages whose speed counts, with the roles that they ask; those with scores also ask the labeler."""
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
        ConfigError: if the rate is not a number above 0.
    """
    if rate is not None:
        if not (math.isfinite(rate) and rate > 0):
            raise ConfigError(
                f"found {rate:g}", where="--rate", accepted="generated tokens per second, above 0"
            )
        return KnownSpeed(_speed(rate, _TRAINED * rate), "given by --rate")
    return _of_earlier_runs(project, config) or _of_steering(project, config)


def _of_earlier_runs(project: Path, config: RunConfig) -> KnownSpeed | None:
    """Return the speed that stages of the project's runs had with the models that they have now.

    A stage that asked a server says nothing about the speed of this machine.
    """
    runs = 0
    now = _Models(config.model_dump(mode="json"))
    spent: dict[bool, list[float]] = {True: [0.0, 0.0, 0.0], False: [0.0, 0.0, 0.0]}
    for folder, manifest in _manifests(project):
        then = _Models(_settings(folder))
        counted_run = False
        for stage, roles in _ROLES.items():
            entry = manifest["stages"].get(stage, {})
            requests, seconds = entry.get("requests", {}), float(entry.get("seconds", 0.0))
            if seconds < _MIN_S or not requests.get("asked"):
                continue
            asked = (*roles, "labeler") if then.judges(stage) else roles
            if any(then.kind(role) == "http" or then.of(role) != now.of(role) for role in asked):
                continue
            counted_run = True
            generated = requests.get("completion_tokens", 0)
            sums = spent[generated > 0]
            for place, value in enumerate((generated, requests.get("prompt_tokens", 0), seconds)):
                sums[place] += value
        runs += counted_run
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


class _Models:
    """The models and kinds of engines of a configuration as JSON, such as that in a manifest."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = configuration

    def of(self, role: str) -> tuple[str | None, str]:
        """Return the id of a role's model and the kind of its engine."""
        return self._model(role).get("id"), self.kind(role)

    def kind(self, role: str) -> str:
        """Return the kind of a role's engine."""
        own = (self._model(role).get("engine") or {}).get("kind")
        return str(own or self._configuration.get("engine", {}).get("kind", "transformers"))

    def judges(self, stage: str) -> bool:
        """Return True if a stage also asks the labeler for scores."""
        section = {"critique": "critique", "sample": "sample", "compare": "sample"}.get(stage, stage)
        return bool(self._configuration.get(section, {}).get("judge"))

    def _model(self, role: str) -> Mapping[str, Any]:
        models = self._configuration.get("models", {})
        found = models.get(role, "policy")
        while isinstance(found, str):  # the role whose model it shares
            found = models.get(found, {})
        return found or {}


def _of_steering(project: Path, config: RunConfig) -> KnownSpeed | None:
    """Return the speed that `publius steer` measured for the plan in the folder, if it is for this model."""
    facts = SteerProject(project).facts()
    if facts is None or facts.options.get("model") != config.models.policy.id:
        return None
    kinds = [
        text.partition("=")[2] for text in facts.options.get("set", ()) if text.startswith("engine.kind=")
    ]
    if (
        config.engine.for_model(config.models.policy, "policy").kind
        != (kinds or ["transformers"])[-1].strip()
    ):
        return None
    return KnownSpeed(facts.measured(), "measured by publius steer")


def _manifests(project: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted(project.glob(f"runs/*/{MANIFEST}")):
        manifest = usable_manifest(path)
        if manifest is not None:
            yield path.parent, manifest


def _settings(folder: Path) -> Mapping[str, Any]:
    """Return the settings of a run as written in its folder; empty if they cannot be read."""
    try:
        found = read_yaml(folder / RESOLVED).value
    except PubliusError:
        return {}
    return found if isinstance(found, dict) else {}


def _speed(generated_per_s: float, trained_per_s: float) -> Speed:
    return Speed(generated_per_s, trained_per_s, answer_tokens=0.0, prompt_tokens=0.0, load_s=0.0)
