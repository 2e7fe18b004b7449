"""Settings of a trained judge, saved beside its weights as `judge.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.errors import EngineError, first_line
from core.records import Finite, Probability
from core.settings import Section
from core.store.files import write_atomic
from engines.config import ModelConfig

JUDGE_FILE = "judge.json"
JUDGE_WEIGHTS = "probe.safetensors"
ADAPTER_FOLDER = "adapter"
"""Folder in the judge's folder with the adapter of its model, if it has one."""
LOWEST_ACCURACY = 0.6
"""Balanced accuracy on held-out replies below which a judge abstains."""

Loss = Literal["cross_entropy", "brier"]
StatesRead = Literal["reply", "end", "both"]
"""Hidden states that a probe reads: the mean over the reply's tokens, that after the last token, or both."""


class KindFigures(Section):
    """How a judge does on one kind of gold label: on replies and wordings that it was not trained on."""

    labels: int = Field(ge=0)
    accuracy: Probability
    """Balanced accuracy: the mean of the accuracies among positive and among negative labels. For pairs,
    the share of pairs whose better reply has the higher score."""
    low: Probability
    """Lower end of its 95 % interval."""
    high: Probability
    majority: Probability
    """Share of the more frequent label; always answering it has a balanced accuracy of one half."""
    nll: Finite
    """Mean negative log-likelihood of the labels in nats; a judge that knows nothing has ln 2 = 0.693."""
    ece: Probability
    """Expected calibration error, over bins of equally many labels."""
    ece_by_chance: float = Field(ge=0.0, allow_inf_nan=False)
    """Expected calibration error of a perfectly calibrated judge on as many labels, by chance."""


class PrincipleProbe(Section):
    """A probe of one principle: what it reads, what it was trained on, and how far it can be trusted."""

    id: str
    """Id of the principle in the constitution of the training."""
    text: str
    """Text of the principle: another wording is another principle."""
    layer: int = Field(ge=1)
    """Number of the decoder layer that is read, from 1."""
    reading: StatesRead
    """Hidden states that are read."""
    loss: Loss
    l2: float = Field(ge=0.0, allow_inf_nan=False)
    """Weight of the squared norm in the loss, per label."""
    blind_to_length: bool
    """True if the log-odds do not depend on the reply's length."""
    temperature: float = Field(gt=0.0, allow_inf_nan=False)
    """Calibration temperature; the weights are divided by it already."""
    gold: dict[str, int]
    """Number of gold labels by source."""
    fulfilled: int = Field(ge=0)
    """Gold labels of replies that fulfil the principle, or do so better than another one."""
    broken: int = Field(ge=0)
    """Gold labels of replies that break the principle, or do worse than another one."""
    figures: KindFigures
    """Cross-validated figures."""
    held_out: KindFigures | None = None
    """The same for held-out replies; None if there are too few of them."""

    @property
    def accuracy(self) -> float:
        """The lower of both balanced accuracies, cross-validated and held out."""
        return min(one.accuracy for one in (self.figures, self.held_out) if one is not None)

    @property
    def abstains(self) -> bool:
        """True if the judge abstains on the principle: its balanced accuracy is below `LOWEST_ACCURACY`."""
        return self.accuracy < LOWEST_ACCURACY


class PrincipleWithoutProbe(Section):
    """A principle without a probe of its own: it has too few gold labels of one side."""

    id: str
    text: str
    fulfilled: int = Field(ge=0)
    """Gold labels of replies that fulfil it."""
    broken: int = Field(ge=0)
    """Gold labels of replies that break it."""


class JudgeSettings(Section):
    """What a judge reads, what it was trained on, and how far it can be trusted."""

    version: Literal[2] = 2
    model: ModelConfig
    """The model whose hidden states are read."""
    adapted: bool = False
    """True if the model has the LoRA adapter in the judge's folder."""
    identity: str
    """Digest of the model's files: with other weights, the probe's numbers mean nothing."""
    templates: str
    """Digest of the template of the question; another wording moves the hidden states."""
    layer: int = Field(ge=1)
    """Number of the decoder layer that is read, from 1; without a shared probe, the deepest one of others."""
    layers: int = Field(ge=1)
    """Number of the model's layers."""
    reading: StatesRead = "end"
    """Hidden states that are read; the other weights are 0."""
    loss: Loss
    """Loss of the probe, chosen with the layer by cross-validation."""
    l2: float = Field(ge=0.0, allow_inf_nan=False)
    """Weight of the squared norm in the loss, per label."""
    blind_to_length: bool = False
    """True if the probe was made such that its preferences do not depend on the replies' lengths."""
    temperature: float = Field(gt=0.0, allow_inf_nan=False)
    """Calibration temperature, fitted on cross-validated scores, those of pairs if there are any; the weights
    are divided by it already."""
    gold: dict[str, str] = Field(default={})
    """Gold labels by source, in words."""
    labels: int = Field(default=0, ge=0)
    """Number of gold labels in training."""
    kinds: dict[str, KindFigures] = Field(default={})
    """Cross-validated figures by kind of gold label: `pairs`, or a kind of machine check."""
    held_out: dict[str, KindFigures] = Field(default={})
    """The same for gold labels that took no part in training or in any choice, in held-out wordings."""
    unavailable: dict[str, int] = Field(default={})
    """Number of labels of each kind that no text was found for."""
    shared: bool = True
    """True if there is a probe for all principles that have none of their own."""
    principles: tuple[PrincipleProbe, ...] = ()
    """Probes of single principles, in the order of their weights."""
    without_probe: tuple[PrincipleWithoutProbe, ...] = ()
    """Principles that were to have a probe and have too few gold labels."""

    @property
    def abstains(self) -> tuple[str, ...]:
        """Kinds that the judge abstains on: measured below `LOWEST_ACCURACY`, or not measured."""
        figures = {**self.kinds, **self.held_out}
        weak = {kind for kind, figure in figures.items() if figure.accuracy < LOWEST_ACCURACY}
        return tuple(sorted(weak | (self.unavailable.keys() - figures.keys())))

    def probe_of(self, principle: str) -> PrincipleProbe | None:
        """Return the probe of the principle with a text; None if it has none of its own."""
        return next((probe for probe in self.principles if probe.text == principle), None)


def read_judge_settings(folder: Path) -> JudgeSettings:
    """Return the settings in `judge.json`.

    Raises:
        EngineError: if the folder holds no judge, or its settings are invalid.
    """
    path = folder / JUDGE_FILE
    try:
        return JudgeSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"the settings of the judge cannot be read ({_first_problem(error)})",
            where=str(path),
            accepted="the folder of a judge, written by `publius train judge`",
        ) from error


def holds_judge(folder: Path) -> bool:
    """Return True if a folder holds a trained judge."""
    return (folder / JUDGE_FILE).is_file()


def write_judge_settings(folder: Path, settings: JudgeSettings) -> None:
    """Write `judge.json`. Raises RunStateError if the folder is not writable or the disk is full."""
    write_atomic(folder / JUDGE_FILE, settings.model_dump_json(indent=2) + "\n")


def _first_problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False)[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])
