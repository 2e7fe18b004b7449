"""The speed by which the time of a run is estimated: given, or measured by earlier runs or previews."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from publius.runs.manifest import ANSWERING, MANIFEST, usable_manifest
from publius.runs.previews import preview_speeds

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
    "eval": ("policy",),
}
"""Stages whose speed counts, with the roles that they ask; those with scores also ask the labeler.

Of an evaluation, the answers count."""
_READING_ASSUMED = (
    f"; reading prompts assumed {Speed(1.0, _TRAINED, 0.0, 0.0, 0.0).scored_per_s:g} times as fast; "
    "measured once a label stage has ended"
)
_AS_A_PREVIEW = ", with few answers at once and the loading of models: a run is faster"
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
    now = _Models(config.model_dump(mode="json"))
    # A preview answers few prompts at once and is slower than a run: it counts where no run was measured.
    return (
        _measured(_earlier_runs(project), now, "earlier run")
        or _of_steering(project, config)
        or _measured(_earlier_previews(project), now, "preview", _AS_A_PREVIEW)
    )


def models_asked(config: RunConfig) -> dict[str, Any]:
    """Return the settings that say which models the stages of a run ask, as a preview records them."""
    found = config.model_dump(mode="json")
    judging = {name: {"judge": found[name].get("judge")} for name in ("critique", "sample")}
    return {"models": found["models"], "engine": {"kind": found["engine"]["kind"]}, **judging}


def _measured(
    measured: Iterable[tuple[_Models, Mapping[str, Any]]], now: _Models, what: str, caveat: str = ""
) -> KnownSpeed | None:
    """Return the speed that stages of runs or previews had with the models that they have now.

    A stage that asked a server says nothing about the speed of this machine.
    """
    runs = 0
    spent: dict[bool, list[float]] = {True: [0.0, 0.0, 0.0], False: [0.0, 0.0, 0.0]}
    for then, stages in measured:
        counted_run = False
        for stage, roles in _ROLES.items():
            entry = stages.get(stage, {})
            entry = entry.get(ANSWERING, {}) if stage == "eval" else entry
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
    found = _speed_of(spent[True], spent[False])
    if found is None:
        return None
    assumed = "" if spent[False][2] else _READING_ASSUMED
    return KnownSpeed(found, f"measured in {counted(runs, what)} of the project{caveat}{assumed}")


def _speed_of(written: Sequence[float], scored: Sequence[float]) -> Speed | None:
    """Return the speed of stages that write and of those that only score; None if none wrote.

    Args:
        written: tokens generated, tokens of prompts, and seconds of stages that write.
        scored: the same of stages that only score.
    """
    generated, prompts, seconds = written
    if not generated:
        return None
    _, read, reading_s = scored
    if reading_s:
        read_per_s = read / reading_s
        # What is left of the seconds when the prompts are read at that rate was spent on generation.
        writing_s = max(seconds - prompts / read_per_s, _MIN_SHARE * seconds)
        return _speed(generated / writing_s, read_per_s / _speed(1.0, 1.0).scored_per_s)
    one = _speed(1.0, _TRAINED)
    rate = (generated + prompts / one.scored_per_s) / seconds
    return _speed(rate, _TRAINED * rate)  # the same tokens take the same seconds again


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


def _earlier_runs(project: Path) -> Iterator[tuple[_Models, Mapping[str, Any]]]:
    """Yield the models and the manifest's stages of each run of the project."""
    for path in sorted(project.glob(f"runs/*/{MANIFEST}")):
        manifest = usable_manifest(path)
        if manifest is not None:
            yield _Models(_settings(path.parent)), manifest["stages"]


def _earlier_previews(project: Path) -> Iterator[tuple[_Models, Mapping[str, Any]]]:
    for configuration, stages in preview_speeds(project):
        yield _Models(configuration), stages


def _settings(folder: Path) -> Mapping[str, Any]:
    """Return the settings of a run as written in its folder; empty if they cannot be read."""
    try:
        found = read_yaml(folder / RESOLVED).value
    except PubliusError:
        return {}
    return found if isinstance(found, dict) else {}


def _speed(generated_per_s: float, trained_per_s: float) -> Speed:
    return Speed(generated_per_s, trained_per_s, answer_tokens=0.0, prompt_tokens=0.0, load_s=0.0)
