"""`publius train judge`: linear probes that judge replies, from gold labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError, DataError, RequestError, RunStateError
from core.lazy import require
from core.notices import counted, note, warn
from core.statistics.bootstrap import Floats
from core.store.files import os_errors
from core.store.vectors import VectorStore
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
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.models.judge_adapter import adapted
from publius.models.judges.figures import figures_by_kind
from publius.models.judges.principles import JudgeBy, LengthTaste, OwnProbes, own_probes, rows_of_replies
from publius.models.judges.states import read_features
from publius.models.provenance import by_reason, write_exclusions
from publius.sources.column_names import ColumnNames
from publius.sources.examples import DataSource, read_answers, read_preferences
from publius.sources.judges.by_principle import GoldByPrinciple, GoldData, gold_by_principle
from publius.sources.judges.gold import (
    CHECK_GOLD,
    PAIR_GOLD,
    REPLY_GOLD,
    AskedReply,
    JudgeGold,
    JudgeGoldSource,
    ReplyToCheck,
    default_sources,
    gold_in_words,
    gold_of_pairs,
)
from publius.sources.judges.replies import read_labelled_replies
from training.examples import ExcludedExample, PreferencePair
from training.judge.adapter import JudgeAdapterConfig
from training.judge.choice import FOLDS, ProbeChoice, choose_probe
from training.judge.probe import Probe
from training.judge.sides import LEAST_OF_A_SIDE, LEAST_PROMPTS

STATES_FILE = "states.sqlite"
TEMPLATE = "pointwise"
_LAYERS_TRIED = 6
"""Number of layers, at equal distances, that are tried if none are given."""


@dataclass(frozen=True)
class JudgeTraining:
    """Options of `publius train judge`."""

    data: DataSource | None
    """Preferences; None without any."""
    constitution: str
    model: str
    to: Path
    sources: tuple[JudgeGoldSource, ...] | None = None
    """Which labels to make; None for those that fit the data and the constitution (`default_sources`)."""
    labelled: DataSource | None = None
    """Replies with a label, good or not."""
    replies: DataSource | None = None
    """Replies for machine checks, besides those of the preferences."""
    by: JudgeBy = "all"
    """`principle` for probes of single principles."""
    length: LengthTaste = "auto"
    adapter: JudgeAdapterConfig | None = None
    """Training of an adapter whose hidden states are read; None to read the bare model's."""
    layers: tuple[int, ...] = ()
    """Layers that are tried, from 1; empty for six at equal distances."""
    held_out: float = 0.2
    """Share of the prompts that take no part in training or in any choice."""
    per_kind: int = 60
    """Labels of each kind of machine check in training; with probes of single principles, replies that are
    checked and edited."""
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
class _SharedProbe:
    """The probe that all principles share, and what it was trained on."""

    gold: JudgeGold
    probe: Probe
    choice: ProbeChoice
    source: StateSource
    """The model that is read, with its adapter if it has one."""
    blind: bool
    features: Floats
    """Features (R, F) of the layer that is read."""
    read_seconds: float


@dataclass(frozen=True)
class TrainedJudge:
    """The result of training a judge."""

    folder: Path
    settings: JudgeSettings
    choice: ProbeChoice | None
    """How the shared probe was chosen; None without one."""
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
            "tried": list(map(asdict, self.choice.tried)) if self.choice else [],
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
    if request.by == "principle" and request.adapter is not None:
        raise ConfigError(
            "an adapter would be trained on the prompts that probes of single principles are measured on",
            where="--lora",
            accepted="--by all with --lora, or --by principle without it",
        )
    constitution = load_constitution(request.constitution)
    data, excluded = _read(request)
    sources = _sources(request, data, constitution)
    request = replace(request, sources=sources)
    source = StateSource(_model(request), request.device)
    templates = PromptTemplates()
    asking = Questions(constitution, templates)
    layers = _layers(request.layers, source)
    with os_errors(request.to):
        request.to.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    shared, gold = None, _shared_gold(request, data, constitution)
    seconds = 0.0
    if gold is not None:
        shared = _shared(request, gold, source, asking, layers)
        excluded += gold.excluded
        seconds = shared.read_seconds
    own = OwnProbes()
    if request.by == "principle":
        own_gold, features, read = _own_gold(request, data, source, asking, layers)
        own = own_probes(own_gold, features, request.seed, request.length)
        excluded += [one for one in own_gold.excluded if one not in excluded]
        seconds += read
        _require_probe(own, shared)
    settings = _settings(source, templates, shared, own)
    _write(request.to, shared.probe if shared else None, own, settings)
    exclusions = write_exclusions(request.to, {"judge": excluded})
    _warn_of(settings)
    return TrainedJudge(
        request.to,
        settings,
        None if shared is None else shared.choice,
        by_reason(excluded),
        exclusions,
        seconds,
        time.monotonic() - started - seconds,
    )


def _read(request: JudgeTraining) -> tuple[GoldData, list[ExcludedExample]]:
    """Return the data of all options, and what was excluded. Raises ConfigError if there is none."""
    if request.data is None and request.labelled is None and request.replies is None:
        raise ConfigError(
            "there is nothing to make gold labels of",
            where="--data",
            accepted="--data (preferences), --labelled (replies with a label) or --replies (to check)",
        )
    excluded: list[ExcludedExample] = []
    pairs: Sequence[PreferencePair] = ()
    if request.data is not None:
        data = read_preferences(request.data, request.names)
        data.require("preferences to train a judge on")
        data.report(uses_margin=False)
        if data.repeated:
            warn(f"data: {data.repeated}")
        pairs, excluded = data.rows, [*data.excluded]
    labelled = read_labelled_replies(request.labelled, request.names) if request.labelled else None
    answers = read_answers(request.replies, request.names) if request.replies else None
    if answers is not None:
        answers.require("replies to check")
        answers.report("replies")
    excluded += [*(labelled.excluded if labelled else ()), *(answers.excluded if answers else ())]
    checked = [ReplyToCheck(one.prompt, one.answer) for one in (answers.rows if answers else ())]
    return GoldData(pairs, labelled.rows if labelled else (), checked), excluded


def _sources(
    request: JudgeTraining, data: GoldData, constitution: Constitution
) -> tuple[JudgeGoldSource, ...]:
    if request.sources is not None:
        return request.sources
    if request.by == "principle":  # checks are those of the principles
        return PAIR_GOLD, REPLY_GOLD, CHECK_GOLD
    return default_sources(constitution, has_labels=bool(data.pairs or data.labelled))


def _shared_gold(request: JudgeTraining, data: GoldData, constitution: Constitution) -> JudgeGold | None:
    """Return the gold of the probe that all principles share.

    With probes of single principles, machine checks are those of the principles, so it learns from labels of
    pairs and replies; None if there are none of a principle without a check.
    """
    sources = request.sources or ()
    if request.by == "principle":
        sources = tuple(one for one in sources if one != CHECK_GOLD)
        labels = (PAIR_GOLD in sources and data.pairs) or (REPLY_GOLD in sources and data.labelled)
        if not labels or all(p.check is not None for p in constitution.principles):
            return None
    return gold_of_pairs(
        data.pairs,
        constitution,
        sources,
        share=request.held_out,
        per_kind=request.per_kind,
        seed=request.seed,
        replies=data.labelled,
        checked=data.checked,
    )


def _shared(
    request: JudgeTraining, gold: JudgeGold, bare: StateSource, asking: Questions, layers: Sequence[int]
) -> _SharedProbe:
    """Return the probe that all principles share, trained on its gold."""
    rows = _encoded(gold, bare, asking)
    note(f"gold: {gold_in_words(gold)}")
    started = time.monotonic()
    source = bare
    if request.adapter is not None:
        asked = request_of(asking, next(iter(gold.questions)))
        source, gold.labels[:] = adapted(
            source, gold.labels, rows, asked, request.to, request.adapter, request.seed
        )
        rows = {number: rows[number] for number in gold.numbers()}
    with VectorStore(request.to / STATES_FILE) as store:
        features = read_features(source, rows, layers, store)
    read = time.monotonic() - started
    blind = request.length == "remove" or (
        request.length == "auto" and CHECK_GOLD not in (request.sources or ())
    )
    if request.by == "principle":
        blind = request.length != "keep"
    probe, choice = choose_probe(features, gold.labels, request.seed, blind=blind)
    return _SharedProbe(gold, probe, choice, source, blind, features[choice.setting.layer], read)


def _own_gold(
    request: JudgeTraining, data: GoldData, source: StateSource, asking: Questions, layers: Sequence[int]
) -> tuple[GoldByPrinciple, dict[int, Floats], float]:
    """Return the gold of single principles, the features of its replies by layer, and the seconds spent."""
    gold = gold_by_principle(
        data,
        asking.constitution,
        request.sources or (),
        share=request.held_out,
        checked=request.per_kind,
        seed=request.seed,
    )
    rows = rows_of_replies(gold, source, asking)
    for name, count in gold.unnamed.items():
        note(f"{counted(count, 'label')} of {name} without a column principle: for the shared probe alone")
    started = time.monotonic()
    if not rows:
        return gold, {}, 0.0
    with VectorStore(request.to / STATES_FILE) as store:
        features = read_features(source, rows, layers, store)
    return gold, features, time.monotonic() - started


def _require_probe(own: OwnProbes, shared: _SharedProbe | None) -> None:
    """Raise DataError if there is no probe at all."""
    if own.probes or shared is not None:
        return
    found = "; ".join(f"{one.id}: {one.fulfilled} fulfil it, {one.broken} break it" for one in own.without)
    raise DataError(
        f"no principle has enough gold labels ({found})",
        where="--by principle",
        accepted=f"{LEAST_OF_A_SIDE} of each side, of {LEAST_PROMPTS} prompts or more",
    )


def _settings(
    bare: StateSource, templates: PromptTemplates, shared: _SharedProbe | None, own: OwnProbes
) -> JudgeSettings:
    best = None if shared is None else shared.choice.setting
    gold = None if shared is None else shared.gold
    return JudgeSettings(
        # On another device, `auto` might be another data type, which has other hidden states.
        model=bare.config.model_copy(update={"dtype": bare.dtype}),
        adapted=shared is not None and shared.source is not bare,
        identity=bare.identity if shared is None else shared.source.identity,
        templates=templates.digest_of(TEMPLATE),
        layer=max(one.layer for one in own.settings) if best is None else best.layer,
        layers=bare.depth,
        reading="end" if best is None else best.reading,
        loss="cross_entropy" if best is None else best.loss,
        l2=0.0 if best is None else best.l2,
        blind_to_length=shared is not None and shared.blind,
        temperature=1.0 if shared is None else shared.choice.temperature,
        gold={} if gold is None else gold.described,
        labels=0 if gold is None else len(gold.labels),
        kinds={} if shared is None or gold is None else figures_by_kind(gold.labels, shared.choice.scores),
        held_out={} if shared is None else _held_out_figures(shared),
        unavailable={} if gold is None else gold.unavailable,
        shared=shared is not None,
        principles=tuple(own.settings),
        without_probe=tuple(own.without),
    )


def _warn_of(settings: JudgeSettings) -> None:
    """Warn of what the judge abstains on."""
    below = f"below {LOWEST_ACCURACY:.0%} balanced accuracy, or not measured"
    if settings.abstains:
        weak = ", ".join(f"{kind} ({_why(settings, kind)})" for kind in settings.abstains)
        warn(f"the judge abstains on {weak}: {below}")
    poor = [f"{one.id} ({one.accuracy:.0%})" for one in settings.principles if one.abstains]
    if poor:
        warn(f"the judge abstains on the principles {', '.join(poor)}: {below}")
    if settings.without_probe:
        few = ", ".join(
            f"{one.id} ({one.fulfilled} fulfil it, {one.broken} break it)" for one in settings.without_probe
        )
        then = "the shared probe judges by them" if settings.shared else "the judge abstains on them"
        least = f"{LEAST_OF_A_SIDE} gold labels of a side, or labels of {LEAST_PROMPTS} prompts"
        warn(f"fewer than {least}: {few}; {then}")


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


def _held_out_figures(shared: _SharedProbe) -> dict[str, KindFigures]:
    gold = shared.gold
    if not gold.held_out:
        return {}
    return figures_by_kind(gold.held_out, shared.probe.log_odds(shared.features, gold.held_out))


def _write(folder: Path, shared: Probe | None, own: OwnProbes, settings: JudgeSettings) -> None:
    torch = require("torch", "transformers")
    probes = own.probes
    if shared is None:  # without one, no question reaches it
        shared = Probe(np.zeros_like(probes[0].weight), 0.0)
    several = None
    if probes:
        biases = torch.tensor([probe.bias for probe in probes], dtype=torch.float64)
        several = (torch.from_numpy(np.stack([probe.weight for probe in probes])), biases)
    write_probe(
        folder, torch.from_numpy(shared.weight), torch.tensor(shared.bias, dtype=torch.float64), several
    )
    write_judge_settings(folder, settings)  # last: a folder with settings has its weights


def _why(settings: JudgeSettings, kind: str) -> str:
    found = [figures[kind].accuracy for figures in (settings.kinds, settings.held_out) if kind in figures]
    return f"{min(found):.0%}" if found else "no labels"
