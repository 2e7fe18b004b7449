"""A report's numbers computed again from the record files alone, without the report's own code.

Record files are read as plain JSON. A reward model's accuracy is in no record; the file that the training
wrote is its source.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml
from scipy import stats

from constitution.checks.evaluate import evaluate
from constitution.loader import load_constitution
from core.records import Answer, Generation
from core.text.repetition import is_repetitive
from critique.flags import finds_fault
from evaluation.drift.measured import drift_metrics, drift_series, phrases_by_variant

Row = dict[str, Any]
Values = dict[str, float]
TRAININGS = ("sft", "reward", "dpo", "ppo")


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def json_of(path: Path) -> Row:
    return json.loads(path.read_text()) if path.exists() else {}


def count_words(text: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def checks_of(folder: Path) -> Row:
    principles = yaml.safe_load((folder / "constitution.yaml").read_text())["principles"]
    return {one["id"]: one["check"] for one in principles if "check" in one}


def passes(check: Row, text: str) -> bool:
    value = check["value"]
    match check["kind"]:
        case "max_words":
            return count_words(text) <= value
        case "not_regex":
            return not re.search(value, text)
        case "contains_none":
            return not any(re.search(rf"\b{phrase}\b", text, re.IGNORECASE) for phrase in value)
    raise AssertionError(check)


def nearly_same(texts: dict[str, str]) -> Values:
    """Jaccard similarity of 4-grams of words of at least one half with another text."""
    grams = {}
    for name, text in texts.items():
        words = re.findall(r"\w+", text.casefold())
        grams[name] = {tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3))} if words else set()
    return {
        name: float(
            any(len(own & other) >= 0.5 * len(own | other) > 0 for n, other in grams.items() if n != name)
        )
        for name, own in grams.items()
    }


def is_older(folder: Path) -> bool:
    """True for an evaluation by a version without today's intervals and measures of drift."""
    return not any("changed" in one for one in json_of(folder / "eval" / "metrics.json")["metrics"])


def answers_of(folder: Path) -> list[Answer]:
    return [Answer.model_validate(row) for row in rows_of(folder / "answers.jsonl")]


def drift_by_prompt(folder: Path) -> dict[tuple[str, str], Values]:
    """Boilerplate and self-similarity, by the functions that have tests of their own."""
    if is_older(folder):
        return {}
    seed = json_of(folder / "manifest.json")["seed"]
    return {(one.variant, one.measure): dict(one.values) for one in drift_series(answers_of(folder), seed)}


def by_prompt(folder: Path) -> dict[tuple[str, str], Values]:
    """The measures of each variant that follow from its answers, by prompt."""
    answers: dict[str, dict[str, Row]] = {}
    for row in rows_of(folder / "answers.jsonl"):
        answers.setdefault(row["variant"], {})[row["prompt"]["id"]] = row["generation"]
    found: dict[tuple[str, str], Values] = {}
    for variant, given in answers.items():
        texts = {prompt: one["text"] for prompt, one in given.items()}
        same = Counter(" ".join(text.split()) for text in texts.values() if text.strip())
        found[variant, "words"] = {p: float(count_words(t)) for p, t in texts.items()}
        found[variant, "finished"] = {p: float(o["finish_reason"] == "stop") for p, o in given.items()}
        found[variant, "empty"] = {p: float(not t.strip()) for p, t in texts.items()}
        found[variant, "repeated"] = {p: float(is_repetitive(t)) for p, t in texts.items()}
        found[variant, "duplicate"] = {p: float(same[" ".join(t.split())] > 1) for p, t in texts.items()}
        found[variant, "sameness"] = nearly_same(texts)
        checks = checks_of(folder)
        passed = {name: {p: float(passes(c, t)) for p, t in texts.items()} for name, c in checks.items()}
        found |= {(variant, f"compliance.{name}"): values for name, values in passed.items()}
        found[variant, "compliance"] = {p: fmean(values[p] for values in passed.values()) for p in texts}
    return found | judged_by_prompt(folder) | drift_by_prompt(folder) | recorded(folder)


def recorded(folder: Path) -> dict[tuple[str, str], Values]:
    """The measures that no answer tells: KL divergence, losses and the judge's opinions."""
    found = {(o["variant"], o["measure"]): o["values"] for o in rows_of(folder / "eval" / "series.jsonl")}
    return {key: values for key, values in found.items() if key[1] in ("kl", "neutral_loss", "win_rate")}


def judged_by_prompt(folder: Path) -> dict[tuple[str, str], Values]:
    """The judge's ratings: of each principle, and their mean over all principles of a prompt."""
    found: dict[tuple[str, str], Values] = {}
    every: dict[tuple[str, str], list[float]] = {}
    for row in rows_of(folder / "eval" / "ratings.jsonl"):
        found.setdefault((row["variant"], f"judged.{row['principle_id']}"), {})[row["prompt_id"]] = row["p"]
        every.setdefault((row["variant"], row["prompt_id"]), []).append(row["p"])
    for (variant, prompt), values in every.items():
        found.setdefault((variant, "judged"), {})[prompt] = fmean(values)
    return found


def unit_of(measure: str) -> str:
    return {"words": "words", "kl": "nats", "neutral_loss": "nats"}.get(measure, "share")


def older_interval(values: list[float]) -> tuple[float, float]:
    """The bootstrap's interval, of runs by older versions with fewer than 6 prompts."""
    drawn = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    low, high = np.quantile(np.asarray(values)[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def interval(values: list[float], kind: str, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for effective trials, an adjusted Wald interval of differences, or Student's."""
    mean, n = fmean(values), len(values)
    if kind == "share":
        single = mean * (1 - mean)
        trials = n * single * (n + 1) / (sum((v - mean) ** 2 for v in values) + single) if single else n
        z2 = stats.norm.ppf((1 + level) / 2) ** 2 / trials
        middle, half = mean + z2 / 2, math.sqrt(z2 * single + z2**2 / 4)
        return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))
    t = stats.t.ppf((1 + level) / 2, n - 1)
    if kind == "mean":
        half = t * float(np.std(values, ddof=1)) / math.sqrt(n)
        return mean - half, mean + half
    count = n + 0.5
    middle = sum(values) / count
    half = t * math.sqrt(((sum(v**2 for v in values) + 0.5) / count - middle**2) / count)
    return max(-1.0, min(middle - half, mean)), min(1.0, max(middle + half, mean))


@cache
def all_signs(count: int) -> Any:
    """All choices of signs, [2^count, count]."""
    assert count <= 18
    return np.array(list(itertools.product((1, -1), repeat=count)))


def p_value(values: list[float]) -> float | None:
    """Sign flips, all of them."""
    if len(values) < 6:
        return None
    sums = np.abs(all_signs(len(values)) @ np.asarray(values))
    return float((sums >= abs(sum(values)) - 1e-9).mean())


def error_of_draws(p: float, draws: int) -> float:
    """How far a p-value of random draws may be from that of all choices: five standard errors."""
    return 5 * math.sqrt(p * (1 - p) / draws) + 2 / draws


def metric(values: list[float], unit: str) -> Row:
    low, high = interval(values, "share" if unit == "share" else "mean")
    return {"value": fmean(values), "unit": unit, "n": len(values), "low": low, "high": high}


def kind_of(name: str, unit: str) -> str:
    """The kind of a difference: a mean similarity is no share of outcomes."""
    return "difference" if unit == "share" and ".self_similarity." not in name else "mean"


def differences(
    rows: dict[str, tuple[list[float], str]], further: dict[str, float] | None = None
) -> dict[str, Row]:
    """Differences with their intervals, each for itself and all together; rows of one evaluation by name.

    `further` has the p-values of differences that are computed elsewhere and tested with these.
    """
    tests = sum(any(values) for values, _ in rows.values())
    p_values = {name: p for name, (values, _) in rows.items() if (p := p_value(values)) is not None}
    changed = {name: p for name, p in p_values.items() if any(rows[name][0])}
    beyond = rejected(changed | (further or {}))
    found = {}
    for name, (values, unit) in rows.items():
        kind = kind_of(name, unit)
        low, high = interval(values, kind)
        found[name] = {"value": fmean(values), "unit": unit, "n": len(values), "low": low, "high": high}
        if tests:
            ends = agreeing(interval(values, kind, 1 - 0.05 / tests), fmean(values), name in beyond)
            found[name] |= dict(zip(("simultaneous_low", "simultaneous_high"), ends, strict=True))
        if name in p_values:
            found[name]["p_value"] = p_values[name]
        found[name] |= {"draws": 20_000} if len(values) > 14 else {}
    return found


def rejected(p_values: dict[str, float]) -> set[str]:
    """The hypotheses that Holm's procedure rejects at 5 %: the smallest p-values until the first fails."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    passed = [p_values[name] * (len(ordered) - n) <= 0.05 for n, name in enumerate(ordered)]
    return set(itertools.compress(ordered, itertools.accumulate(passed, lambda a, b: a and b)))


def agreeing(ends: tuple[float, float], value: float, is_beyond: bool) -> tuple[float, float]:
    """An interval that crosses zero if, and only if, the difference is not beyond noise."""
    low, high = ends
    if not is_beyond:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 0.0), high) if value > 0 else (low, min(high, 0.0))


def evaluation(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    found = by_prompt(folder)
    if not found:
        return
    yield f"{label}.eval.prompts", {"value": len(next(iter(found.values())))}
    checked = {measure for _, measure in found if measure.startswith("compliance.")}
    if checked:
        yield f"{label}.eval.checked", {"value": len(checked)}
    principles = load_constitution(folder / "constitution.yaml").principles
    unchecked = sum(principle.check is None for principle in principles)
    if unchecked and not any(measure.startswith("judged.") for _, measure in found):
        yield f"{label}.eval.unmeasured", {"value": unchecked}
    older = is_older(folder)
    changes = {}
    for (variant, measure), values in found.items():
        name, prompts = f"{label}.eval.{variant}.{measure}", sorted(values)
        row = [values[p] for p in prompts]
        yield name, metric(row, unit_of(measure)) | (ends(row) if older else {})
        if variant != "base":
            change = [values[p] - found["base", measure][p] for p in prompts]
            changes[f"{name}.delta"] = (change, unit_of(measure))
    if older:
        for name, (change, _) in changes.items():
            yield name, {"value": fmean(change), "n": len(change), **ends(change)}
    else:
        drift = drift_metrics(answers_of(folder), len(changes))
        tested = {one.name: one.p_value for one in drift if one.p_value is not None and one.low != one.high}
        yield from differences(changes, tested).items()
        for one in drift:
            yield (
                f"{label}.eval.{one.name}",
                {"value": one.value, "n": one.n, "low": one.low, "high": one.high}
                | ({} if one.p_value is None else {"p_value": one.p_value}),
            )


def phrases_of(text: str) -> set[str]:
    """All phrases of three to eight words, without case and punctuation."""
    words = re.findall(r"\w+", text.casefold())
    return {" ".join(words[i : i + n]) for n in range(3, 9) for i in range(len(words) - n + 1)}


def z_of(ours: Any, base: Any, prompts: int) -> Any:
    """Log-odds ratio over its standard error, with a prior worth as many answers as there are prompts."""
    prior = (ours + base) / 2
    counts = (ours + prior, 2 * prompts - ours - prior, base + prior, 2 * prompts - base - prior)
    delta = np.log(counts[0] / counts[1]) - np.log(counts[2] / counts[3])
    return delta / np.sqrt(sum(1 / count for count in counts))


def spread(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    """Phrases that spread: which ones, by the function that has tests of its own; their numbers, by hand."""
    answers: dict[str, Values | Any] = {}
    for row in rows_of(folder / "answers.jsonl"):
        answers.setdefault(row["variant"], {})[row["prompt"]["id"]] = phrases_of(row["generation"]["text"])
    found = phrases_by_variant(answers_of(folder), json_of(folder / "manifest.json")["seed"])
    for variant, phrases in found.items():
        prefix = f"{label}.eval.drift.phrases.{variant}"
        yield f"{prefix}.found", {"value": len(phrases)}
        ours, base = answers[variant], answers["base"]
        everything = Counter(phrase for p in base for phrase in ours[p] | base[p])
        both = Counter(phrase for p in base for phrase in ours[p] & base[p])
        tested = sorted(one for one, n in everything.items() if n >= 3 and both[one] < len(base))
        columns = [np.array([[t in given[p] for t in tested] for p in base], float) for given in (ours, base)]
        total, change = sum(columns), columns[0] - columns[1]
        largest = np.concatenate(
            [
                z_of((total.sum(0) + signs @ change) / 2, (total.sum(0) - signs @ change) / 2, len(base)).max(
                    1
                )
                for signs in np.array_split(all_signs(len(base)), 64)
            ]
        )
        for number, phrase in enumerate(phrases):
            own, counts = tested.index(" ".join(phrase.words)), [column.sum(0) for column in columns]
            z = z_of(*counts, len(base))[own]
            listed = f"{prefix}.listed.{number}"
            yield f"{listed}.share", {"value": counts[0][own] / len(base)}
            yield f"{listed}.base_share", {"value": counts[1][own] / len(base)}
            yield f"{listed}.z", {"value": z}
            yield f"{listed}.p_value", {"value": float((largest >= z - 1e-9).mean()), "draws": 499}


def ends(values: list[float]) -> Row:
    return dict(zip(("low", "high"), older_interval(values), strict=True))


def labels(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    judgments, preferences = rows_of(folder / "judgments.jsonl"), rows_of(folder / "preferences.jsonl")
    sources = Counter(one["labeler"] for one in judgments)
    ai = [one for one in judgments if one["labeler"] == "ai"]
    slots = [(o["orders"]["a_first"], o["orders"]["b_first"]) for o in judgments if o.get("orders")]
    masses = [one["answer_mass"] for one in ai if "answer_mass" in one]
    counted = {
        "judgments.ai": len(ai),
        "judgments.check": sources["check"],
        "judgments.check.decided": sum(o["labeler"] == "check" and o["p_a"] != 0.5 for o in judgments),
        **{f"judgments.{name}": n for name, n in sources.items() if name not in ("ai", "check")},
        "preferences": len(preferences),
        "preferences.ties": sum(one["p_chosen"] == 0.5 for one in preferences),
        "preferences.revision_chosen": sum(
            one["p_chosen"] > 0.5 and one["origin_chosen"].startswith("revision") for one in preferences
        ),
        "ai.unparsed": sum(one["verdict"] == "unparsed" for one in judgments),
        "ai.same_slot_in_both_orders": round(fmean((a > 0) != (b > 0) for a, b in slots), 3),
        "ai.slot_bias_nats": round(fmean((a - b) / 2 for a, b in slots), 3),
        "ai.answer_mass": round(fmean(masses), 3),
        "preferences.mean_p_chosen": round(fmean(one["p_chosen"] for one in preferences), 3),
    }
    if ties := sum(one["verdict"] == "tie" for one in ai):
        counted["ai.ties"] = ties
    sides = [one.get(side, True) for one in preferences for side in ("finished_chosen", "finished_rejected")]
    if cut_off := sides.count(False):
        counted["preferences.answers_cut_off"] = cut_off
    for name, value in counted.items():
        yield f"{label}.labels.{name}", {"value": value}
    for name in {one["principle_id"] for one in judgments if "principle_id" in one}:
        yield from principle_labels(f"{label}.labels.principles.{name}", name, judgments, preferences)


def principle_labels(
    prefix: str, name: str, judgments: list[Row], preferences: list[Row]
) -> Iterator[tuple[str, Row]]:
    own = [one for one in judgments if one.get("principle_id") == name]
    known = [one["p_a"] for one in own if "p_a" in one]
    yield f"{prefix}.judgments", {"value": len(own)}
    yield f"{prefix}.decided", {"value": sum(p != 0.5 for p in known)}
    yield f"{prefix}.margin", {"value": sum(abs(p - 0.5) for p in known) / len(own)}
    said = [o["by_principle"].get(name, 0.5) for o in preferences if o["p_chosen"] != 0.5]
    if decided := [p for p in said if p != 0.5]:
        yield f"{prefix}.agrees", {"value": fmean(p > 0.5 for p in decided), "n": len(decided)}


def costs(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    stages = json_of(folder / "manifest.json")["stages"]
    keys = ("asked", "reused", "prompt_tokens", "completion_tokens")
    for stage, entry in stages.items():
        for key in keys:
            yield f"{label}.cost.{stage}.{key}", {"value": entry["requests"].get(key, 0)}
        yield f"{label}.cost.{stage}.records", {"value": entry["records"]}
        yield f"{label}.cost.{stage}.seconds", {"value": entry["seconds"]}
        for reason, count in {**entry["left_out"], **entry.get("unpaired", {})}.items():
            yield f"{label}.cost.{stage}.left_out.{reason}", {"value": count}
    for key in keys:
        yield f"{label}.cost.total.{key}", {"value": sum(e["requests"].get(key, 0) for e in stages.values())}
    yield f"{label}.cost.total.seconds", {"value": sum(entry["seconds"] for entry in stages.values())}


def trainings(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    for method in TRAININGS:
        place, prefix = folder / method, f"{label}.training.{method}"
        result = json_of(place / "training.json")
        for key in ("examples", "steps", "trainable_parameters", "seconds"):
            if key in result:
                yield f"{prefix}.{key}", {"value": result[key]}
        last: Row = {}
        for row in rows_of(place / "metrics.jsonl"):
            last |= row
        for name in last.keys() - {"step", "epoch", "episode"}:
            yield f"{prefix}.last.{name}", {"value": last[name]}
        if accuracy := json_of(place / "reward_metrics.json").get("accuracy"):
            yield f"{prefix}.accuracy", {key: accuracy[key] for key in ("value", "low", "high", "n")}


class Loop:
    """Counts the rounds of all traces; `better` and `worse` compare the mean score of the checks."""

    def __init__(self, folder: Path) -> None:
        principles = load_constitution(folder / "constitution.yaml").principles
        self.checks = [(one.weight, one.check) for one in principles if one.check]
        self.traces = rows_of(folder / "traces.jsonl")
        self.rounds: dict[int, Counter[str]] = {1: Counter(), 2: Counter()}
        self.principles: dict[str, Counter[str]] = {}
        self.compliant: Counter[int] = Counter()
        self.problems: Counter[str] = Counter()
        for trace in self.traces:
            self.add(trace)

    def share(self, text: str) -> float:
        scores = [(weight, evaluate(check, text).score) for weight, check in self.checks]
        return sum(weight * score for weight, score in scores) / sum(weight for weight, _ in scores)

    def add(self, trace: Row) -> None:
        current = trace["initial"]["text"]
        self.compliant[0] += self.share(current) == 1
        revisions = {one["round"]: one for one in trace["revisions"]}
        for number, counts in self.rounds.items():
            if number in revisions:
                current = self.after(revisions[number], current, counts)
            else:
                counts["skipped"] += 1
            self.compliant[number] += self.share(current) == 1

    def after(self, one: Row, current: str, counts: Counter[str]) -> str:
        """Count a revision, and return the answer after it."""
        written = one["candidates"][-1]["text"]
        flags = one.get("flags", [])
        before, now = self.share(current), self.share(written)
        change = {"kept": int(one["kept"]), "better": int(now > before), "worse": int(now < before)}
        for name in (one["principle_id"], *one.get("others", ())):
            own = self.principles.setdefault(name, Counter())
            own.update(change | {"drawn": 1})
            critique = one.get("critique")
            own["faults"] += critique is not None and finds_fault(Generation.model_validate(critique))
        for name in one.get("broken", ()):
            self.principles.setdefault(name, Counter())["broken"] += 1
        result: str = written if one["kept"] else current
        if "no_fault" in flags:
            counts["no_fault"] += 1
            return result
        counts.update(change | {"revisions": 1, "words_before": count_words(current)})
        counts["words_after"] += count_words(result)
        self.problems.update(f"flagged {flag.replace('_', ' ')}" for flag in flags)
        if not one["kept"]:
            self.problems[f"discarded by {one['dropped']}"] += 1
        return result


def loop(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    if "loop" not in json_of(folder / "manifest.json")["stages"]["critique"]:
        return  # made by an older version
    found = Loop(folder)
    prefix, total = f"{label}.loop", len(found.traces)
    for number in range(3):
        yield f"{prefix}.compliant.{number}", {"value": found.compliant[number] / total, "n": total}
    for number, counts in found.rounds.items():
        for key in ("revisions", "kept", "no_fault", "skipped", "better", "worse"):
            yield f"{prefix}.rounds.{number}.{key}", {"value": counts[key]}
        for key in ("words_before", "words_after"):
            mean = counts[key] / counts["revisions"] if counts["revisions"] else 0.0
            yield f"{prefix}.rounds.{number}.{key}", {"value": round(mean, 1)}
    for name, counts in found.principles.items():
        for key in ("drawn", "faults", "kept", "better", "worse", "broken"):
            yield f"{prefix}.principles.{name}.{key}", {"value": counts[key]}
    for name, count in found.problems.items():
        yield f"{prefix}.{name}", {"value": count}


def prompts(label: str, folder: Path) -> Iterator[tuple[str, Row]]:
    for split, count in Counter(one["split"] for one in rows_of(folder / "prompts.jsonl")).items():
        yield f"{label}.prompts.{split}", {"value": count}


def of_run(folder: Path) -> dict[str, Row]:
    """Everything that a report says of one run in numbers, by name."""
    parts = (evaluation, spread, labels, costs, trainings, loop, prompts)
    return {name: row for part in parts for name, row in part(folder.name, folder)}


def shown_prompts(folders: list[Path]) -> dict[str, Row]:
    answered = {one["prompt"]["id"] for f in folders for one in rows_of(f / "answers.jsonl")}
    looped = {one["prompt"]["id"] for f in folders for one in rows_of(f / "traces.jsonl")}
    for folder in folders:
        for one in rows_of(folder / "comparisons.jsonl"):
            origins = (one["origin_a"], one["origin_b"])
            if any(origin.split(":")[0] not in ("draft", "revision") for origin in origins):
                looped.add(one["prompt"]["id"])
    counts = {"answer": len(answered), "loop": len(looped)}
    return {f"prompts.{kind}{end}": {"value": n} for kind, n in counts.items() for end in ("", ".shown")}


def comparison(groups: dict[str, list[Path]]) -> dict[str, Row]:
    """The measures of groups of runs, paired by prompt with those of the first group."""
    found = {folder.name: by_prompt(folder) for own in groups.values() for folder in own}
    first, *others = groups
    numbers: dict[str, Row] = {}
    changes: dict[str, dict[str, tuple[list[float], str]]] = {}
    for variant, measure in next(iter(found.values())):
        name, unit = f"compare.{variant}.{measure}", unit_of(measure)
        shared = sorted(set.intersection(*(set(values[variant, measure]) for values in found.values())))
        means = {
            key: [fmean(found[folder.name][variant, measure][p] for folder in own) for p in shared]
            for key, own in groups.items()
        }
        if measure == "words":
            numbers[f"compare.{variant}.prompts"] = {"value": len(shared)}
        for folder, values in found.items():
            mean = fmean(values[variant, measure][p] for p in shared)
            numbers[f"{name}.{folder}"] = {"value": mean, "n": len(shared)}
        for key in groups:
            numbers[f"{name}.{key}"] = metric(means[key], unit)
        for key in others:
            change = [now - before for now, before in zip(means[key], means[first], strict=True)]
            changes.setdefault(variant, {})[f"{name}.{key}.delta"] = (change, unit)
    for rows in changes.values():
        numbers |= differences(rows)
    return numbers | means_alone(groups)


def means_alone(groups: dict[str, list[Path]]) -> dict[str, Row]:
    """The measures without a value by prompt: of each run, and the mean of each group."""
    numbers: dict[str, Row] = {}
    for key, own in groups.items():
        values: dict[str, list[float]] = {}
        for folder in own:
            for one in drift_metrics(answers_of(folder)):
                if not one.name.endswith(".delta"):
                    values.setdefault(one.name, []).append(one.value)
                    numbers[f"compare.{one.name}.{folder.name}"] = {"value": one.value, "n": one.n}
        numbers |= {f"compare.{name}.{key}": {"value": fmean(found)} for name, found in values.items()}
    return numbers


Pair = tuple[str, float, float, dict[str, float], dict[str, float]]
"""Prompt, both probabilities of answer `a`, and both by principle, of a pair of answers in two runs."""


def probabilities(folder: Path) -> dict[str, tuple[str, float, dict[str, float]]]:
    pairs = {one["id"]: one for one in rows_of(folder / "comparisons.jsonl")}
    found = {}
    for one in rows_of(folder / "preferences.jsonl"):
        pair = pairs[one["comparison_id"]]
        is_a = one["chosen"][0]["content"] == pair["response_a"]
        by_principle = {n: p if is_a else 1 - p for n, p in one["by_principle"].items()}
        p_a = one["p_chosen"] if is_a else 1 - one["p_chosen"]
        found[one["comparison_id"]] = (pair["prompt"]["id"], p_a, by_principle)
    return found


def shared_pairs(before: Path, after: Path) -> tuple[list[Pair], tuple[int, int]]:
    """The pairs of answers that both runs prefer one of, and how many only one of them has."""
    old, new = probabilities(before), probabilities(after)
    shared = old.keys() & new.keys()
    pairs = [(old[n][0], old[n][1], new[n][1], old[n][2], new[n][2]) for n in shared]
    return pairs, (len(old) - len(shared), len(new) - len(shared))


def shift(prefix: str, pairs: list[Pair], only: tuple[int, int]) -> dict[str, Row]:
    """How many preferences flipped, with Wilson's interval over prompts."""
    moved = Counter[str]()
    flipped: dict[str, list[bool]] = {}
    for prompt, was, now, before, after in pairs:
        flipped.setdefault(prompt, []).append((was - 0.5) * (now - 0.5) < 0)
        if flipped[prompt][-1]:
            sign = 1 if now > 0.5 else -1
            moves = {p: sign * (after.get(p, 0.5) - before.get(p, 0.5)) for p in {*before, *after}}
            moved[max(moves, key=lambda p: (moves[p], p))] += 1
    numbers = {
        f"{prefix}.compared": {"value": len(pairs)},
        f"{prefix}.flipped": {"value": moved.total()},
        f"{prefix}.only_before": {"value": only[0]},
        f"{prefix}.only_after": {"value": only[1]},
        **{f"{prefix}.moved_by.{name}": {"value": count} for name, count in moved.items()},
    }
    if pairs:
        low, high = clustered_share(list(flipped.values()))
        share = moved.total() / len(pairs)
        numbers[f"{prefix}.share"] = {"value": share, "n": len(pairs), "low": low, "high": high}
        numbers[f"{prefix}.mean_change"] = {"value": fmean(abs(now - was) for _, was, now, _, _ in pairs)}
    return numbers


def clustered_share(clusters: list[list[bool]]) -> tuple[float, float]:
    """Wilson's interval for as many trials as the values of the clusters are worth."""
    values = [one for cluster in clusters for one in cluster]
    n, count, share = len(values), len(clusters), fmean(values)
    if count == n:
        trials = float(n)
    elif count < 2 or share in (0, 1):
        trials = n**2 / sum(len(cluster) ** 2 for cluster in clusters)
    else:
        together = count / (count - 1) * sum(sum(one - share for one in c) ** 2 for c in clusters)
        alone = n / (n - 1) * n * share * (1 - share)
        widened = stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
        trials = n / max(1.0, together / alone) / widened**2
    z2 = stats.norm.ppf(0.975) ** 2 / trials
    middle, half = share + z2 / 2, math.sqrt(z2 * share * (1 - share) + z2**2 / 4)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def flips(groups: dict[str, list[Path]]) -> dict[str, Row]:
    """The flips of each group against the first, seed by seed and pooled, and of seeds among themselves."""
    first, *others = groups
    compared = {(first, key): list(zip(groups[first], groups[key], strict=True)) for key in others}
    compared |= {(key, key): list(itertools.combinations(own, 2)) for key, own in groups.items()}
    numbers: dict[str, Row] = {}
    for (before, after), runs in compared.items():
        found = [shared_pairs(*pair) for pair in runs]
        for (old, new), (pairs, only) in zip(runs, found, strict=True):
            numbers |= shift(f"compare.preferences.{old.name}.{new.name}", pairs, only)
        if found:
            pooled = [pair for pairs, _ in found for pair in pairs]
            only = (sum(one[0] for _, one in found), sum(one[1] for _, one in found))
            numbers |= shift(f"compare.flips.{before}.{after}", pooled, only)
    return numbers
