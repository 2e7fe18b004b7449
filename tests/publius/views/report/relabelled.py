"""The quality of a run's labels, computed again from its record files: leanings, agreement, attribution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import yaml

from core.statistics.clusters import design_effect
from evaluation.reward.metrics import weighted_share
from publius.labels.agreement import read_report
from tests.publius.views.report.recompute import Row, count_words, json_of, rows_of

MACHINES = ("ai", "check")
SIDES = ("a", "b")


class Labels:
    """The comparisons, judgments and preferences of a run, as plain JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.prefix = folder, f"{folder.name}.labels"
        files = ("comparisons.jsonl", "added_comparisons.jsonl")
        self.pairs = {one["id"]: one for name in files for one in rows_of(folder / name)}
        judgments = rows_of(folder / "judgments.jsonl")
        revoked = {one.get("supersedes") for one in judgments}
        self.judgments = [one for one in judgments if one["id"] not in revoked]
        self.preferences = rows_of(folder / "preferences.jsonl")

    def prompt_of(self, comparison: str) -> str:
        return str(self.pairs[comparison]["prompt"]["id"])

    def words(self, comparison: str) -> tuple[int, int]:
        pair = self.pairs[comparison]
        return count_words(pair["response_a"]), count_words(pair["response_b"])

    def longer(self, comparison: str) -> str | None:
        a, b = self.words(comparison)
        return None if a == b else "a" if a > b else "b"

    def chosen(self, preference: Row) -> str:
        pair = self.pairs[preference["comparison_id"]]
        return "a" if preference["chosen"][0]["content"] == pair["response_a"] else "b"


def probability(judgment: Row) -> float | None:
    """The probability of `a`; people who name an answer without one are certain."""
    if judgment["labeler"] in MACHINES or "p_a" in judgment:
        return judgment.get("p_a") if judgment["verdict"] != "both_bad" else None
    return {"a": 1.0, "b": 0.0, "tie": 0.5}.get(judgment["verdict"])


def votes(labels: Labels) -> dict[str, dict[str, float]]:
    """The votes on each comparison: of every annotator, the mean over its judgments."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in labels.judgments:
        name = "/".join(filter(None, (one["labeler"], one.get("annotator"))))
        p = probability(one)
        if p is not None:
            found.setdefault(one["comparison_id"], {}).setdefault(name, []).append(
                (one.get("weight", 1.0), p)
            )
    return {
        comparison: {
            name: sum(w * p for w, p in given) / sum(w for w, _ in given) for name, given in named.items()
        }
        for comparison, named in found.items()
    }


def choice(p: float) -> str:
    return "tie" if p == 0.5 else "a" if p > 0.5 else "b"


def share(values: list[tuple[float, str]]) -> Row:
    """A share by hand, and its interval by the function that has tests of its own."""
    numbers, prompts = [value for value, _ in values], [prompt for _, prompt in values]
    ends = weighted_share("", numbers, [1.0] * len(numbers), prompts)
    assert ends is not None
    return {"value": fmean(numbers), "n": len(numbers), "low": ends.low, "high": ends.high}


def leanings(labels: Labels) -> Iterator[tuple[str, Row]]:
    longer: dict[str, list[tuple[float, str]]] = {}
    first: dict[str, list[tuple[float, str]]] = {}
    for one in labels.judgments:
        source, comparison, p = one["labeler"], one["comparison_id"], probability(one)
        prompt, side = labels.prompt_of(comparison), labels.longer(comparison)
        if p not in (None, 0.5) and side is not None:
            longer.setdefault(source, []).append((float(choice(p) == side), prompt))
        if orders := one.get("orders"):
            for is_first in (orders["a_first"] > 0, orders["b_first"] < 0):
                first.setdefault(source, []).append((float(is_first), prompt))
        elif one.get("shown_first") and one["verdict"] in SIDES:
            first.setdefault(source, []).append((float(one["verdict"] == one["shown_first"]), prompt))
    for kind, found in (("longer", longer), ("first", first)):
        for source, values in found.items():
            yield f"{labels.prefix}.leaning.{source}.{kind}", share(values)
    known = [
        (one, labels.longer(one["comparison_id"])) for one in labels.preferences if one["p_chosen"] != 0.5
    ]
    every = [(float(labels.chosen(one) == side), one["prompt_id"]) for one, side in known if side]
    yield f"{labels.prefix}.preferences.longer", share(every)


def kappa(pairs: list[tuple[str, str]]) -> float | None:
    if len(pairs) < 10 or min(len({pair[side] for pair in pairs}) for side in (0, 1)) == 1:
        return None
    by_chance = sum(
        fmean(one == name for one, _ in pairs) * fmean(two == name for _, two in pairs)
        for name in (*SIDES, "tie")
    )
    observed = fmean(one == two for one, two in pairs)
    return (observed - by_chance) / (1 - by_chance)


def alpha(choices: list[list[str]]) -> tuple[float, float]:
    """Observed agreement, and Krippendorff's alpha for nominal choices."""
    counts, total = Counter(one for given in choices for one in given), sum(map(len, choices))
    alike = [[one == two for one, two in combinations(given, 2)] for given in choices]
    agreeing = sum(2 * sum(found) / (len(given) - 1) for found, given in zip(alike, choices, strict=True))
    by_chance = total**2 - sum(n**2 for n in counts.values())
    return fmean(map(fmean, alike)), 1 - (total - 1) * (total - agreeing) / by_chance


def agreement(labels: Labels) -> Iterator[tuple[str, Row]]:
    # Machine checks look at their own rules alone, so they have no vote on a pair as a whole.
    given = [
        {name: choice(p) for name, p in named.items() if name != "check"} for named in votes(labels).values()
    ]
    shared = [named for named in given if len(named) > 1]
    found = read_report([labels.folder])
    if not shared:
        assert (found.overall, list(found.pairs)) == (None, [])
        return
    observed, beyond = alpha([list(named.values()) for named in shared])
    assert found.overall is not None
    assert found.overall.alpha is not None
    assert not found.by_principle
    prefix = f"{labels.prefix}.agreement"
    yield f"{prefix}.all.comparisons", {"value": len(shared)}
    yield f"{prefix}.all.observed", {"value": observed, "n": len(shared), **ends(found.overall.observed)}
    yield f"{prefix}.all.alpha", {"value": beyond, "n": len(shared), **ends(found.overall.alpha)}
    intervals = {f"{pair.first}+{pair.second}": pair.cohen for pair in found.pairs}
    for one, two in combinations(sorted({name for named in given for name in named}), 2):
        both = [(named[one], named[two]) for named in given if one in named and two in named]
        if both:
            name = f"{prefix}.{one}+{two}"
            yield f"{name}.comparisons", {"value": len(both)}
            yield f"{name}.observed", {"value": fmean(x == y for x, y in both), "n": len(both)}
            if (value := kappa(both)) is not None:
                yield f"{name}.kappa", {"value": value, "n": len(both), **ends(intervals[f"{one}+{two}"])}


def ends(interval: Any) -> Row:
    return {"low": interval.low, "high": interval.high}


def calibration(labels: Labels) -> Iterator[tuple[str, Row]]:
    """One bin, since there are fewer than 60 comparisons."""
    rows = []
    for comparison, named in votes(labels).items():
        people = [p for name, p in named.items() if name not in MACHINES]
        if people and "ai" in named:
            ai, label = named["ai"], fmean(people)
            confidence = max(ai, 1 - ai)
            rows.append((confidence, label if ai > 0.5 else 1 - label, labels.prompt_of(comparison)))
    if rows:
        differences = [label - confidence for confidence, label, _ in rows]
        weights = np.ones(len(rows))
        shared = design_effect(np.array(differences), weights, [prompt for _, _, prompt in rows])
        noise = pstdev(differences) / math.sqrt(len(rows) / shared)
        prefix = f"{labels.prefix}.calibration.people"
        yield f"{prefix}.pairs", {"value": len(rows)}
        yield f"{prefix}.ece", {"value": abs(fmean(differences))}
        yield f"{prefix}.ece_by_chance", {"value": math.sqrt(2 / math.pi) * noise}


def pushes(labels: Labels, preference: Row, weights: Row) -> dict[str, float]:
    """Contributions to a preference: of people who prefer an answer, else of the principles by weight."""
    own = [one for one in labels.judgments if one["comparison_id"] == preference["comparison_id"]]
    people = [p for one in own if one["labeler"] not in MACHINES and (p := probability(one)) is not None]
    if people and fmean(people) != 0.5:
        return {"(people)": preference["p_chosen"] - 0.5}
    sign = 1 if labels.chosen(preference) == "a" else -1
    judged = [one for one in own if one["labeler"] in MACHINES and probability(one) is not None]
    speaking = [one for one in judged if one["labeler"] == "ai" or one["p_a"] != 0.5] or judged
    total = sum(weights[one["principle_id"]] for one in speaking)
    found = {
        one["principle_id"]: sign * weights[one["principle_id"]] * (one["p_a"] - 0.5) / total
        for one in speaking
    }
    return {name: push for name, push in found.items() if push}


def attribution(labels: Labels) -> Iterator[tuple[str, Row]]:
    principles = yaml.safe_load((labels.folder / "constitution.yaml").read_text())["principles"]
    weights = {one["id"]: one.get("weight", 1.0) for one in principles}
    decided = [one for one in labels.preferences if one["p_chosen"] != 0.5]
    found = [(one, pushes(labels, one, weights)) for one in decided]
    prefix = f"{labels.prefix}.attribution"
    yield f"{prefix}.ties", {"value": len(labels.preferences) - len(decided)}
    yield f"{prefix}.unexplained", {"value": 0}
    deciders = Counter(max(own, key=lambda name: (own[name], name)) for _, own in found)
    for name in {name for _, own in found for name in own}:
        mine = [(one, own[name]) for one, own in found if name in own]
        sizes = [push for _, push in mine]
        row = f"{prefix}.{name}"
        yield f"{row}.decided", {"value": deciders[name]}
        yield f"{row}.share", {"value": deciders[name] / len(decided), "n": len(decided)}
        yield f"{row}.pushed", {"value": len(mine)}
        yield f"{row}.overruled", {"value": sum(push < 0 for push in sizes)}
        yield f"{row}.push", {"value": fmean(map(abs, sizes)), "n": len(mine)}
        yield from towards(row, labels, mine)


def towards(row: str, labels: Labels, mine: list[tuple[Row, float]]) -> Iterator[tuple[str, Row]]:
    """The shares of a principle's contributions towards the longer answer and towards the revision."""
    longer, revision = [], []
    for preference, push in mine:
        chosen = labels.chosen(preference)
        side = chosen if push > 0 else "b" if chosen == "a" else "a"
        pair = labels.pairs[preference["comparison_id"]]
        if (long := labels.longer(preference["comparison_id"])) is not None:
            longer.append(side == long)
        ways = {name: pair[f"origin_{name}"].split(":")[0] for name in SIDES}
        if sorted(ways.values()) == ["draft", "revision"]:
            revision.append(ways[side] == "revision")
    for kind, values in (("longer", longer), ("revision", revision)):
        if values:
            yield f"{row}.{kind}", {"value": fmean(values), "n": len(values)}


def reward(folder: Path) -> Iterator[tuple[str, Row]]:
    """What the report of a reward model says of its calibration and of length; no record has its scores."""
    found, prefix = json_of(folder / "reward" / "reward_metrics.json"), f"{folder.name}.training.reward"
    if found:
        yield f"{prefix}.temperature", {"value": found["calibration"]["temperature"]}
        yield f"{prefix}.length.spearman", {"value": found["length"]["spearman"]}
        for side in ("longer", "shorter"):
            accuracy = found["length"][f"{side}_better"]
            yield f"{prefix}.accuracy.{side}", {key: accuracy[key] for key in ("value", "low", "high", "n")}
        for when in ("before", "after"):
            one = found["calibration"][when]
            yield f"{prefix}.calibration.{when}.pairs", {"value": sum(b["n"] for b in one["bins"])}
            for key in ("ece", "ece_by_chance"):
                yield f"{prefix}.calibration.{when}.{key}", {"value": one[key]}


def quality(folder: Path) -> Iterator[tuple[str, Row]]:
    labels = Labels(folder)
    for part in (leanings, agreement, calibration, attribution):
        yield from part(labels)
    yield from reward(folder)
