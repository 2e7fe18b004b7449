"""`publius train judge`: a linear probe that judges replies, from gold labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from constitution.loader import load_constitution
from core.digests import digest
from core.errors import ConfigError, DataError, RequestError, RunStateError
from core.lazy import require
from core.notices import counted, note, warn
from core.progress import progress
from core.statistics.bootstrap import Floats, wilson
from core.store.files import os_errors
from core.store.vectors import Vector, VectorStore
from engines.config import ModelConfig
from engines.judge.model import StateSource, write_probe
from engines.judge.rows import QuestionRow
from engines.judge.settings import (
    LOWEST_ACCURACY,
    JudgeSettings,
    KindFigures,
    holds_judge,
    write_judge_settings,
)
from engines.protocols import ChoiceRequest
from evaluation.reward.calibration import calibration_metrics
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.models.judge_adapter import adapted
from publius.models.provenance import by_reason, write_exclusions
from publius.sources.column_names import ColumnNames
from publius.sources.examples import DataSource, read_preferences
from publius.sources.judges.gold import (
    CHECK_GOLD,
    AskedReply,
    JudgeGold,
    JudgeGoldSource,
    gold_of_pairs,
)
from publius.sources.judges.replies import read_labelled_replies
from training.examples import ExcludedExample
from training.judge.adapter import JudgeAdapterConfig
from training.judge.choice import FOLDS, ProbeChoice, choose_probe
from training.judge.probe import GoldLabel, Probe

LengthTaste = Literal["auto", "keep", "remove"]
"""Whether a judge may prefer replies for their length; `auto`: only if it learns from machine checks."""

STATES_FILE = "states.sqlite"
TEMPLATE = "pointwise"
_LAYERS_TRIED = 6
"""Number of layers, at equal distances, that are tried if none are given."""
_AT_ONCE = 64
"""Questions between two writes of hidden states."""


@dataclass(frozen=True)
class JudgeTraining:
    """Options of `publius train judge`."""

    data: DataSource
    constitution: str
    model: str
    to: Path
    sources: tuple[JudgeGoldSource, ...] = ("pairs", "replies", "checks")
    labelled: DataSource | None = None
    """Replies with a label, good or not."""
    length: LengthTaste = "auto"
    adapter: JudgeAdapterConfig | None = None
    """Training of an adapter whose hidden states are read; None to read the bare model's."""
    layers: tuple[int, ...] = ()
    """Layers that are tried, from 1; empty for six at equal distances."""
    held_out: float = 0.2
    """Share of the prompts that take no part in training or in any choice."""
    per_kind: int = 60
    """Labels of each kind of machine check in training."""
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    names: ColumnNames = field(default_factory=ColumnNames)


def length_taste(name: str) -> LengthTaste:
    """Return what is done about the length of replies. Raises ConfigError for another name."""
    known: dict[str, LengthTaste] = {taste: taste for taste in get_args(LengthTaste)}
    if name not in known:
        raise ConfigError(f"unknown value {name!r}", where="--length", accepted=", ".join(known))
    return known[name]


@dataclass(frozen=True)
class TrainedJudge:
    """The result of training a judge."""

    folder: Path
    settings: JudgeSettings
    choice: ProbeChoice
    excluded: Mapping[str, int]
    """Number of excluded rows by reason."""
    exclusions: Path | None
    read_seconds: float
    """Time spent on hidden states."""
    fit_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {
            "folder": str(self.folder),
            **self.settings.model_dump(mode="json"),
            "abstains": list(self.settings.abstains),
            "tried": list(map(asdict, self.choice.tried)),
            "excluded": dict(self.excluded),
            "exclusions": str(self.exclusions) if self.exclusions else None,
            "read_seconds": round(self.read_seconds, 1),
            "fit_seconds": round(self.fit_seconds, 1),
        }


def train_judge(request: JudgeTraining) -> TrainedJudge:
    """Train a judge, write it and return it with its figures.

    Raises:
        PubliusError: for any error that the user can fix. Hidden states that were computed are saved.
    """
    _require_room(request.to)
    constitution = load_constitution(request.constitution)
    data = read_preferences(request.data, request.names)
    data.require("preferences to train a judge on")
    note(f"data: {data.origin}")
    labelled = read_labelled_replies(request.labelled, request.names) if request.labelled else None
    gold = gold_of_pairs(
        data.rows,
        constitution,
        request.sources,
        share=request.held_out,
        per_kind=request.per_kind,
        seed=request.seed,
        replies=labelled.rows if labelled else (),
    )
    gold.excluded[:0] = [*data.excluded, *(labelled.excluded if labelled else ())]
    source = StateSource(_model(request), request.device)
    templates = PromptTemplates()
    asking = Questions(constitution, templates)
    rows = _encoded(gold, source, asking)
    started = time.monotonic()
    layers = _layers(request.layers, source)
    with os_errors(request.to):
        request.to.mkdir(parents=True, exist_ok=True)
    bare = source
    if request.adapter is not None:
        asked = request_of(asking, next(iter(gold.questions)))
        source, gold.labels[:] = adapted(
            source, gold.labels, rows, asked, request.to, request.adapter, request.seed
        )
        rows = {number: rows[number] for number in gold.numbers()}
    with VectorStore(request.to / STATES_FILE) as store:
        features = read_features(source, rows, layers, store)
    read = time.monotonic()
    blind = request.length == "remove" or (request.length == "auto" and CHECK_GOLD not in request.sources)
    probe, choice = choose_probe(features, gold.labels, request.seed, blind=blind)
    best = choice.setting
    settings = JudgeSettings(
        # On another device, `auto` might be another data type, which has other hidden states.
        model=bare.config.model_copy(update={"dtype": bare.dtype}),
        adapted=request.adapter is not None,
        identity=source.identity,
        templates=templates.digest_of(TEMPLATE),
        layer=best.layer,
        layers=source.depth,
        reading=best.reading,
        loss=best.loss,
        l2=best.l2,
        blind_to_length=blind,
        temperature=choice.temperature,
        gold=gold.described,
        labels=len(gold.labels),
        kinds=figures_by_kind(gold.labels, choice.scores),
        held_out=_held_out_figures(gold, probe, features[best.layer]),
        unavailable=gold.unavailable,
    )
    _write(request.to, probe, settings)
    exclusions = write_exclusions(request.to, {"judge": gold.excluded})
    if settings.abstains:
        weak = ", ".join(f"{kind} ({_why(settings, kind)})" for kind in settings.abstains)
        warn(f"the judge abstains on {weak}: below {LOWEST_ACCURACY:.0%} balanced accuracy, or not measured")
    return TrainedJudge(
        request.to,
        settings,
        choice,
        by_reason(gold.excluded),
        exclusions,
        read - started,
        time.monotonic() - read,
    )


def _model(request: JudgeTraining) -> ModelConfig:
    """Return the model; the path of a folder is made absolute, as it is saved with the judge."""
    folder = Path(request.model)
    name = str(folder.resolve()) if folder.is_dir() else request.model
    return ModelConfig.model_validate({"id": name, "dtype": request.dtype})


def _require_room(folder: Path) -> None:
    """Raise RunStateError if a folder holds something else than a judge."""
    with os_errors(folder):
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not holds_judge(folder) and STATES_FILE not in names:
        raise RunStateError(
            "the folder is not empty and holds no judge",
            where=str(folder),
            accepted="a new or empty folder for --to, or that of an earlier `publius train judge`",
        )


def _layers(given: Sequence[int], source: StateSource) -> tuple[int, ...]:
    """Return the layers to try. Raises ConfigError if the model does not have one of them."""
    depth = source.depth
    if not given:
        steps = range(1, _LAYERS_TRIED + 1)
        return tuple(sorted({max(1, round(depth * step / _LAYERS_TRIED)) for step in steps}))
    for layer in given:
        if not 1 <= layer <= depth:
            raise ConfigError(
                f"{source.name} has no layer {layer}", where="--layer", accepted=f"1 to {depth}"
            )
    return tuple(sorted(set(given)))


def _encoded(gold: JudgeGold, source: StateSource, asking: Questions) -> dict[int, QuestionRow]:
    """Return each question's token ids; exclude the labels of those that are too long.

    Raises:
        DataError: if none is left to train on.
    """
    rows: dict[int, QuestionRow] = {}
    for question, number in gold.questions.items():
        try:
            rows[number] = source.row(request_of(asking, question))
        except RequestError as error:
            place = question.prompt.id
            gold.excluded.append(ExcludedExample(place, error.reason, error.detail))
    gold.without(rows.__contains__)
    if len({label.group for label in gold.labels}) < FOLDS:
        raise DataError(
            f"gold labels of {counted(len({label.group for label in gold.labels}), 'prompt')} are left",
            where="--data",
            accepted=f"at least {FOLDS} prompts, for cross-validation",
        )
    return rows


def request_of(asking: Questions, question: AskedReply) -> ChoiceRequest:
    """Return the request whose hidden state answers a question."""
    return asking.pointwise(question.principle, question.prompt, question.reply)


def read_features(
    source: StateSource, rows: Mapping[int, QuestionRow], layers: Sequence[int], store: VectorStore
) -> dict[int, Floats]:
    """Return the features (R, F) by layer; row R of a question is its number.

    Args:
        source: the model.
        rows: the questions by their number.
        layers: the layers to read.
        store: has the features of earlier trainings, and gets those that are new.
    """
    keys = {
        number: digest(source.identity, list(row.ids), row.start, row.stop) for number, row in rows.items()
    }
    wanted = [f"{key} {layer}" for key in keys.values() for layer in layers]
    known = store.get(wanted)
    missing = [n for n, key in keys.items() if any(f"{key} {layer}" not in known for layer in layers)]
    # Questions about one reply are neighbours in this order and share the computation of their beginning.
    missing.sort(key=lambda number: rows[number])
    with progress("hidden states", len(rows), done=len(rows) - len(missing)) as task:
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            found = source.reader.read([rows[number] for number in some], layers).numpy()
            new: dict[str, Vector] = {
                f"{keys[number]} {layer}": found[i, j]
                for i, number in enumerate(some)
                for j, layer in enumerate(layers)
            }
            store.put(new)
            known |= new
            task.advance(len(some))
    size = max(rows) + 1
    width = len(next(iter(known.values())))
    features = {layer: np.zeros((size, width)) for layer in layers}
    for number, key in keys.items():
        for layer in layers:
            features[layer][number] = known[f"{key} {layer}"]
    return features


def figures_by_kind(labels: Sequence[GoldLabel], scores: Floats) -> dict[str, KindFigures]:
    """Return the figures of each kind of label from its log-odds (N,)."""
    kinds = dict.fromkeys(label.kind for label in labels)
    places = {kind: [n for n, label in enumerate(labels) if label.kind == kind] for kind in kinds}
    return {kind: _figures([labels[n] for n in own], scores[own]) for kind, own in places.items()}


def _figures(labels: Sequence[GoldLabel], scores: Floats) -> KindFigures:
    target = np.array([label.target for label in labels])
    is_pair = labels[0].second is not None
    sides = [np.ones(len(target), dtype=bool)] if is_pair else [target > 0.5, target < 0.5]
    # A score of exactly zero decides nothing, and neither does a tied label: both count as half right.
    right = np.where((scores == 0) | (target == 0.5), 0.5, (scores > 0) == (target > 0.5))
    shares = [float(right[side].mean()) for side in sides if side.any()]
    accuracy = sum(shares) / len(shares)
    interval = wilson(accuracy, len(labels))
    metrics = calibration_metrics(scores, target, np.ones(len(labels)), [label.group for label in labels])
    return KindFigures(
        labels=len(labels),
        accuracy=accuracy,
        low=interval.low,
        high=interval.high,
        majority=0.5 if is_pair else float(max(np.mean(target > 0.5), np.mean(target <= 0.5))),
        nll=metrics.nll,
        ece=metrics.ece,
        ece_by_chance=metrics.ece_by_chance,
    )


def _held_out_figures(gold: JudgeGold, probe: Probe, features: Floats) -> dict[str, KindFigures]:
    if not gold.held_out:
        return {}
    return figures_by_kind(gold.held_out, probe.log_odds(features, gold.held_out))


def _write(folder: Path, probe: Probe, settings: JudgeSettings) -> None:
    torch = require("torch", "transformers")
    write_probe(folder, torch.from_numpy(probe.weight), torch.tensor(probe.bias, dtype=torch.float64))
    write_judge_settings(folder, settings)  # last: a folder with settings has its weights


def _why(settings: JudgeSettings, kind: str) -> str:
    found = [figures[kind].accuracy for figures in (settings.kinds, settings.held_out) if kind in figures]
    return f"{min(found):.0%}" if found else "no labels"
