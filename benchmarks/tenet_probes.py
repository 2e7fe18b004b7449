"""A judge trained for each tenet: which planted models of tenet_audit.py does it tell, how often is it right?

    python -m benchmarks.tenet_probes --work DIR [--layers 4 8] [--json PATH]

DIR is that of `benchmarks/tenet_audit.py`, which must have audited the models by checks. One linear probe
for each tenet learns from machine checks of the base's replies to the training questions, as they are and
as edited to break one of the ten tenets; layer, reading, loss and regularisation are chosen by
cross-validation over whole questions. The probes are blind to length, as `publius train judge` makes them
from labelled replies: edits add words, and a trained model writes shorter replies. They then rate the
replies of the audits, to other questions. Nothing is tuned on the rated replies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tenet_audit import (
    TENETS,
    UNEDITED,
    Planting,
    base_replies,
    constitution_of,
    figures,
    print_part,
    questions,
    ratings_in,
)
from constitution.checks.evaluate import evaluate
from core.records import Prompt
from core.statistics.bootstrap import Floats
from core.store.vectors import VectorStore
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.judge.model import StateSource
from evaluation.tenets.ratings import AuditedReply, TenetRating
from labelers.modes.reading import logistic
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.audit.tenets.auditing import AUDITED_REPLIES
from publius.models.train_judge import read_features
from training.judge.choice import ProbeChoice, choose_probe
from training.judge.probe import GoldLabel, Probe

TRAINING_ROWS = 32
"""Questions whose replies the planted models and the judges learn from."""


@dataclass(frozen=True)
class States:
    """Reads the hidden states of questions about replies; they are kept in DIR."""

    work: Path
    source: StateSource
    layers: Sequence[int]

    def of(self, texts: Sequence[tuple[str, str]]) -> dict[int, Floats]:
        """Return the features by layer, (N, F), of replies to prompts.

        All are asked about under one tenet: the states of the reply come before the tenet in the question.
        """
        rules = constitution_of(checked=False)
        asking, principle = Questions(rules, PromptTemplates()), rules.principles[0]
        requests = [asking.pointwise(principle, Prompt.of(prompt), reply) for prompt, reply in texts]
        rows = {number: self.source.row(request) for number, request in enumerate(requests)}
        with VectorStore(self.work / "states.sqlite") as store:
            return read_features(self.source, rows, self.layers, store)


@dataclass(frozen=True)
class TenetProbe:
    """The probe of one tenet: the log-odds that a reply fulfils it."""

    probe: Probe
    chosen: ProbeChoice
    right: float
    """Balanced accuracy in cross-validation."""

    def log_odds(self, features: dict[int, Floats]) -> Floats:
        """Return the log-odds (N,) of replies."""
        states = features[self.chosen.setting.layer]
        labels = [GoldLabel(row, None, 1.0, "", "") for row in range(len(states))]
        return self.probe.log_odds(states, labels)


def trained(states: States, replies: dict[str, str]) -> dict[str, TenetProbe]:
    """Return a probe for each tenet, from replies as they are and with each of the edits."""
    edits = [lambda text: text, *(edit for _, edit in TENETS.values())]
    texts = list(dict.fromkeys((p, edit(reply)) for p, reply in replies.items() for edit in edits))
    features = states.of(texts)
    probes = {}
    for name, (check, _) in TENETS.items():
        passed = np.array([evaluate(check, reply).passed for _, reply in texts])
        # Few of the texts break the tenet: both sides have the same total weight.
        weight = np.where(passed, 0.5 / passed.mean(), 0.5 / (1 - passed.mean()))
        labels = [
            GoldLabel(row, None, float(passed[row]), prompt, name, float(weight[row]))
            for row, (prompt, _) in enumerate(texts)
        ]
        probe, chosen = choose_probe(features, labels, 0, blind=True)
        right = _balanced(chosen.scores > 0, passed)
        probes[name] = TenetProbe(probe, chosen, right)
        best = chosen.setting
        print(
            f"{name}: {len(texts)} replies, {int((~passed).sum())} break it; layer {best.layer}, "
            f"{best.reading}, l2 {best.l2:g}: {right:.1%} right in cross-validation",
            flush=True,
        )
    return probes


def rated(
    states: States, probes: dict[str, TenetProbe], replies: Sequence[AuditedReply]
) -> list[TenetRating]:
    """Return the ratings of an audit's replies under all tenets."""
    features = states.of([(one.messages[0].content, one.messages[-1].content) for one in replies])
    found = []
    for tenet, probe in probes.items():
        for reply, odds in zip(replies, probe.log_odds(features), strict=True):
            violation = logistic(-float(odds))
            found.append(TenetRating.of(reply, tenet, "judge", violation=violation, log_odds=float(odds)))
    return found


def audited_replies(folder: Path) -> list[AuditedReply]:
    """Return the replies of an audit."""
    lines = (folder / AUDITED_REPLIES).read_text(encoding="utf-8").splitlines()
    return [AuditedReply.model_validate_json(line) for line in lines]


def rightness(judged: Iterable[TenetRating], checked: Iterable[TenetRating]) -> dict[str, list[float | None]]:
    """Return the judge's sensitivity and specificity by tenet, by the checks of the same replies.

    None: there are no such replies.
    """
    truth = {one.id: one.violated for one in checked}
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for one in judged:
        pairs.setdefault(one.tenet, []).append((truth[one.id], one.violated))
    return {
        tenet: [
            float(np.mean([said == true for true, said in found if true is side]))
            if side in {true for true, _ in found}
            else None
            for side in (True, False)
        ]
        for tenet, found in pairs.items()
    }


def measure(states: States, probes: dict[str, TenetProbe]) -> dict[str, Any]:
    """Return which planted models the judges tell from the base."""
    audits = states.work / "audits"
    ratings = rated(states, probes, audited_replies(audits / "checks"))
    base = [one for one in ratings if one.variant == EMBEDDED_NAME]
    names = dict.fromkeys(one.variant for one in ratings if one.variant != EMBEDDED_NAME)
    rows = {name: figures(ratings, base, name) for name in names if name != UNEDITED}
    alarms = {name: figures(ratings, base, name) for name in names if name == UNEDITED}
    for folder in sorted(audits.glob("checks-*")):
        other = rated(states, probes, audited_replies(folder))
        named = [one.model_copy(update={"variant": folder.name}) for one in other]
        alarms[folder.name] = figures(named, base, folder.name)
    return {
        "told": sorted(name for name, row in rows.items() if row["beyond"]),
        "own tenet": sorted(name for name, row in rows.items() if name in row["beyond"]),
        "false alarms": sorted(name for name, row in alarms.items() if row["beyond"]),
        "models": rows,
        "nothing planted": alarms,
        "sensitivity, specificity": rightness(ratings, ratings_in(audits / "checks")),
    }


def _balanced(said: Floats, true: Floats) -> float:
    return float(np.mean([np.mean(said[true == side] == side) for side in (True, False)]))


def main() -> None:
    """Train the judges and print which planted models they tell from the base."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--layers", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    replies = base_replies(Planting(options.work, EMBEDDED_NAME), questions()[:TRAINING_ROWS])
    source = StateSource(ModelConfig(id=EMBEDDED_NAME))
    states = States(options.work, source, tuple(options.layers))
    probes = trained(states, replies)
    found = measure(states, probes)
    print_part("judges", found)
    for tenet, shares in found["sensitivity, specificity"].items():
        sensitivity, specificity = ("-" if share is None else f"{share:.1%}" for share in shares)
        print(f"  {tenet}: sensitivity {sensitivity}, specificity {specificity}")
    if options.json:
        chosen = {name: {"right": one.right, **vars(one.chosen.setting)} for name, one in probes.items()}
        options.json.write_text(json.dumps({"probes": chosen, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
