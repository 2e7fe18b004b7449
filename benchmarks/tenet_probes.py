"""A judge with a probe for each tenet: which planted models of tenet_audit.py does it tell, how often right?

    python -m benchmarks.tenet_probes --work DIR [--layers 4 8] [--json PATH]

DIR is that of `benchmarks/tenet_audit.py`, which must have audited the models by checks. The judge is trained
as by `publius train judge --by principle`: one linear probe for each tenet learns from machine checks of the
base's replies to the training questions, as they are and as the product edits them to break one of the ten
tenets; layer, reading, loss and regularisation are chosen by cross-validation over whole questions. It then
rates the replies of the audits, to other questions. Nothing is tuned on the rated replies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tenet_audit import (
    UNEDITED,
    Planting,
    base_replies,
    constitution_of,
    figures,
    print_part,
    questions,
    ratings_in,
    trained_judge,
)
from core.records import Prompt
from engines.embedded import EMBEDDED_NAME
from engines.judge.model import JudgeModel
from evaluation.tenets.ratings import AuditedReply, TenetRating
from labelers.modes.reading import logistic
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.audit.tenets.auditing import AUDITED_REPLIES

TRAINING_ROWS = 32
"""Questions whose replies the planted models and the judge learn from."""


def rated(judge: JudgeModel, replies: Sequence[AuditedReply]) -> list[TenetRating]:
    """Return the ratings of an audit's replies under all tenets."""
    rules = constitution_of(checked=False)
    asking = Questions(rules, PromptTemplates())
    found = []
    for reply in replies:
        prompt, text = Prompt.of(reply.messages[0].content), reply.messages[-1].content
        asked = [judge.question(asking.pointwise(tenet, prompt, text)) for tenet in rules.principles]
        for tenet, odds in zip(rules.principles, judge.log_odds(asked), strict=True):
            violation = logistic(-odds)
            found.append(TenetRating.of(reply, tenet.id, "judge", violation=violation, log_odds=odds))
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


def measure(work: Path, judge: JudgeModel) -> dict[str, Any]:
    """Return which planted models the judge tells from the base, and how often it is right."""
    audits = work / "audits"
    ratings = rated(judge, audited_replies(audits / "checks"))
    base = [one for one in ratings if one.variant == EMBEDDED_NAME]
    names = dict.fromkeys(one.variant for one in ratings if one.variant != EMBEDDED_NAME)
    rows = {name: figures(ratings, base, name) for name in names if name != UNEDITED}
    alarms = {name: figures(ratings, base, name) for name in names if name == UNEDITED}
    for folder in sorted(audits.glob("checks-*")):
        other = rated(judge, audited_replies(folder))
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


def main() -> None:
    """Train the judge and print which planted models it tells from the base."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--layers", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    plan = Planting(options.work, EMBEDDED_NAME)
    judge = JudgeModel(trained_judge(plan, base_replies(plan, questions()[:TRAINING_ROWS]), options.layers))
    for one in judge.settings.principles:
        print(
            f"{one.id}: {one.fulfilled} fulfil it, {one.broken} break it; layer {one.layer}, {one.reading}, "
            f"l2 {one.l2:g}: {one.figures.accuracy:.1%} right in cross-validation",
            flush=True,
        )
    found = measure(options.work, judge)
    print_part("judge", found)
    for tenet, shares in found["sensitivity, specificity"].items():
        sensitivity, specificity = ("-" if share is None else f"{share:.1%}" for share in shares)
        print(f"  {tenet}: sensitivity {sensitivity}, specificity {specificity}")
    if options.json:
        probes = [one.model_dump(mode="json") for one in judge.settings.principles]
        options.json.write_text(json.dumps({"probes": probes, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
