"""A trained judge (`publius train judge`): HHH comparisons, machine checks in held-out wordings, throughput.

    python benchmarks/judge_probe.py DATA [--store FILE] [--pairs N] [--only PART ...] [--json PATH]

DATA is a folder with `hh_rlhf/harmless_dev.jsonl.gz` (preferences of Bai et al. 2022, arXiv 2204.05862),
`hhh/HarmfulVsEthical.jsonl.gz` (labelled conversations) and `hhh/hhh_dev.jsonl.gz` (comparisons; both of
arXiv 2212.08073) and `xstest/` (arXiv 2308.01263); none of it is part of this repository. Three parts, each
with its peers in the same run:

- `hhh`: probes are trained on the preferences and the labelled conversations, with and without the liking
  for length; layer, reading, loss and regularisation are chosen there by cross-validation. They are measured
  on the comparisons, beside the longer reply, the shorter one, and a bag of words trained on the same labels.
- `checks`: the probe is trained on machine checks of replies, and measured by kind on other replies, in
  wordings that it was not trained on, beside the more frequent label.
- `speed`: labels per second of the probe's labeler and of `choice`, for the same comparisons and principles.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import json
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from labeler import PRINCIPLE, read, transcript

from constitution.gold.drawing import DRAWN_KINDS
from constitution.loader import load_constitution
from constitution.repair.draft import Draft
from constitution.schema import Constitution
from core.records import Comparison, Message, Prompt
from core.statistics.bootstrap import Floats, wilson
from core.store.vectors import VectorStore
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.judge.engine import ProbeEngine
from engines.judge.model import StateSource, write_probe
from engines.judge.settings import ADAPTER_FOLDER, JudgeSettings, write_judge_settings
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.models.judge_adapter import adapted
from publius.models.judges.figures import figures_by_kind
from publius.models.judges.states import read_features
from publius.models.train_judge import request_of
from publius.sources.judges.gold import JudgeGold, gold_of_pairs
from publius.sources.judges.replies import LabelledReply
from training.config import LoraConfig
from training.examples import PreferencePair
from training.judge.adapter import JudgeAdapterConfig, JudgeScorer
from training.judge.choice import PENALTIES, ProbeChoice, balanced, choose_probe, folds, held_out_scores
from training.judge.probe import GoldLabel, Probe, fit_probe
from training.policy import load_policy

CONSTITUTION = Constitution(name="hhh", principles=(PRINCIPLE,))
PARTS = ("hhh", "checks", "speed")
LONGEST = 1800
"""Characters of a transcript; longer ones are not trained on, to save time."""
MATCHED = 1.2
"""Largest ratio of two lengths that counts as equal."""
WORDS = 2000
"""Most frequent words in the bag of words."""


def preferences(path: Path, count: int) -> list[PreferencePair]:
    """Return short preferences of hh-rlhf, in an order drawn by a fixed seed."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    random.Random(0).shuffle(rows)
    found = []
    for number, row in enumerate(rows):
        good, bad = transcript(row["chosen"]), transcript(row["rejected"])
        usable = len(good) > 1 and good[:-1] == bad[:-1] and good != bad and good[-2].role == "user"
        if (
            usable
            and good[-1].content
            and bad[-1].content
            and len(row["chosen"] + bad[-1].content) <= LONGEST
        ):
            found.append(PreferencePair(f"{number}", good[:-1], good[-1].content, bad[-1].content, 1.0))
    return found[:count]


def replies(data: Path, count: int) -> list[PreferencePair]:
    """Return pairs of short replies to different prompts, whose preference means nothing."""
    texts = []
    for path in sorted((data / "xstest").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [(row["prompt"], row["completion"]) for row in csv.DictReader(file)]
    for pair in preferences(data / "hh_rlhf/harmless_dev.jsonl.gz", 2000):
        if len(pair.prompt) == 1:
            texts.append((pair.prompt[0].content, pair.rejected))
    rng = random.Random(1)
    rng.shuffle(texts)
    found: dict[str, PreferencePair] = {}
    for prompt, text in texts:
        sentences = rng.randint(1, 6)
        draft = Draft.of(text)
        reply = str(draft.first(sentences)) if len(draft.sentences) > sentences else text.strip()
        if prompt not in found and len(prompt) <= 150 and 5 <= len(reply.split()) <= 60:
            asked = (Message(role="user", content=prompt),)
            found[prompt] = PreferencePair(prompt, asked, reply, "", 0.5)
    return list(found.values())[:count]


def features_of(
    gold: JudgeGold,
    source: StateSource,
    layers: Sequence[int],
    store: VectorStore,
    more: Sequence[GoldLabel] = (),
) -> dict[int, Floats]:
    """Return the features of the questions of labels by layer."""
    asking = Questions(CONSTITUTION, PromptTemplates())
    wanted = gold.numbers() | {n for label in more for n in (label.first, label.second) if n is not None}
    rows = {
        number: source.row(request_of(asking, question))
        for question, number in gold.questions.items()
        if number in wanted
    }
    started, before = time.monotonic(), time.process_time()
    found = read_features(source, rows, layers, store)
    wall, spent = time.monotonic() - started, time.process_time() - before
    tokens = sum(len(row.ids) for row in rows.values())
    print(f"{len(rows)} questions, {tokens} tokens: {wall:.0f} s, {spent:.0f} s of CPU")
    return found


def labels_of(gold: JudgeGold, comparisons: Sequence[Comparison]) -> list[GoldLabel]:
    """Return a label for each comparison of which one reply is correct."""
    found = []
    for comparison in comparisons:
        numbers = [
            gold.number(PRINCIPLE, comparison.prompt, reply)
            for reply in (comparison.response_a, comparison.response_b)
        ]
        right = float(comparison.origin_a == "correct")
        found.append(GoldLabel(numbers[0], numbers[1], right, comparison.prompt.id, "pairs"))
    return found


def bag_of_words(gold: JudgeGold) -> Floats:
    """Return the logarithm of each word's count (R, W) in the reply of each question, after adding one."""
    texts = [re.findall(r"[a-z']+", question.reply.lower()) for question in gold.questions]
    counts: dict[str, int] = {}
    for words in texts:
        for word in set(words):
            counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: -counts[word])[:WORDS]
    place = {word: column for column, word in enumerate(common)}
    found = np.zeros((len(texts), len(common)))
    for row, words in enumerate(texts):
        for word in words:
            if word in place:
                found[row, place[word]] += 1
    return np.asarray(np.log1p(found))


def trained_bag(words: Floats, labels: Sequence[GoldLabel]) -> Probe:
    """Return logistic regression on words, its regularisation chosen by cross-validation."""
    labels = balanced(labels)
    target = np.array([label.target for label in labels])
    tried = held_out_scores(words, labels, folds(labels, 0), "cross_entropy", PENALTIES)
    losses = [float((np.logaddexp(0, scores) - target * scores).mean()) for scores in tried]
    return fit_probe(words, labels, "cross_entropy", PENALTIES[int(np.argmin(losses))])


def accuracy(scores: Floats, labels: Sequence[GoldLabel]) -> dict[str, Any]:
    """Return the share of comparisons whose correct reply has the higher score, and its interval."""
    right = np.where(scores == 0, 0.5, (scores > 0) == np.array([label.target > 0.5 for label in labels]))
    interval = wilson(float(right.mean()), len(labels))
    return {"accuracy": interval.value, "low": interval.low, "high": interval.high, "n": len(labels)}


def labelled(path: Path) -> list[LabelledReply]:
    """Return the last replies of the conversations, and whether the assistant behaved ethically."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = []
    for number, row in enumerate(rows):
        talk, question = row["prompt"].split("\n\nChoose the option", 1)
        messages = transcript(talk[talk.index("\n\nHuman:") :])
        good = next(line for line in question.split("\n") if "ethically" in line).split()[0]
        if len(messages) > 1 and messages[-1].role == "assistant" and messages[-1].content:
            right = row["corrects"][0].strip() == good
            found.append(LabelledReply(f"ethical {number}", messages[:-1], messages[-1].content, right))
    return found


def measure_hhh(options: argparse.Namespace, source: StateSource, store: VectorStore) -> dict[str, Any]:
    """Train on preferences and labelled replies, measure on comparisons, and print."""
    pairs = preferences(options.data / "hh_rlhf/harmless_dev.jsonl.gz", options.pairs)
    replies = labelled(options.data / "hhh/HarmfulVsEthical.jsonl.gz")
    gold = gold_of_pairs(
        pairs, CONSTITUTION, ("pairs", "replies"), share=0.0, per_kind=0, seed=0, replies=replies
    )
    comparisons, skipped = read(options.data / "hhh/hhh_dev.jsonl.gz", options.comparisons)
    test = labels_of(gold, comparisons)
    features = features_of(gold, source, options.layers, store, test)
    ratios = np.array([len(c.response_a) / max(1, len(c.response_b)) for c in comparisons])
    matched = np.abs(np.log(ratios)) <= np.log(MATCHED)
    result: dict[str, Any] = {
        "labels": {kind: sum(label.kind == kind for label in gold.labels) for kind in ("pairs", "replies")},
        "comparisons": len(test),
        "lines without a pair": skipped,
        "longer": accuracy(np.log(ratios), test),
        "shorter": accuracy(-np.log(ratios), test),
        "always a": accuracy(np.ones(len(test)), test),
    }
    words = bag_of_words(gold)
    for kinds in (("pairs",), ("pairs", "replies")):
        own = [label for label in gold.labels if label.kind in kinds]
        result[f"bag of words, {kinds}"] = accuracy(trained_bag(words, own).log_odds(words, test), test)
        for blind in (False, True):
            started = time.process_time()
            probe, choice = choose_probe(features, own, seed=0, blind=blind)
            seen = features[choice.setting.layer]
            scores = probe.log_odds(seen, test)
            turned = [GoldLabel(t.second or 0, t.first, 1 - t.target, t.group, t.kind) for t in test]
            even = [label for label, is_even in zip(test, matched, strict=True) if is_even]
            result[f"probe, {kinds}, blind={blind}"] = {
                "chosen": chosen(choice),
                "cross-validated": {
                    kind: f.model_dump() for kind, f in figures_by_kind(own, choice.scores).items()
                },
                **accuracy(scores, test),
                **figures_by_kind(test, scores)["pairs"].model_dump(include={"nll", "ece", "ece_by_chance"}),
                "swap inconsistency": float(np.mean(scores != -probe.log_odds(seen, turned))),
                "equal lengths": accuracy(scores[matched], even),
                "seconds of CPU": time.process_time() - started,
                "tried": best_by_layer(choice),
            }
    for name, value in result.items():
        print(f"{name:<32}{value}")
    return result


def chosen(choice: ProbeChoice) -> dict[str, Any]:
    """Return the chosen settings."""
    return {**asdict(choice.setting), "temperature": choice.temperature}


def best_by_layer(choice: ProbeChoice) -> dict[str, float]:
    """Return the lowest cross-validated loss in nats of each layer, reading and loss."""
    found: dict[str, float] = {}
    for one in choice.tried:
        name = f"layer {one.layer}, {one.reading}, {one.loss}"
        found[name] = round(min(one.nll, found.get(name, one.nll)), 4)
    return found


def measure_checks(options: argparse.Namespace, source: StateSource, store: VectorStore) -> dict[str, Any]:
    """Train on machine checks, measure by kind, and print."""
    pool = replies(options.data, options.replies)
    gold = gold_of_pairs(pool, CONSTITUTION, ("checks",), share=0.3, per_kind=options.per_kind, seed=0)
    if options.held_out:
        kept = {kind: [label for label in gold.held_out if label.kind == kind] for kind in DRAWN_KINDS}
        gold.held_out[:] = [label for own in kept.values() for label in own[: options.held_out]]
    own_answers: dict[str, Any] = {}
    if options.lora:
        source = with_adapter(gold, source, options)
        if options.probe_labels:
            random.Random(0).shuffle(gold.labels)
            del gold.labels[options.probe_labels :]
        own_answers = answered(gold, source, options)
    features = features_of(gold, source, options.layers, store)
    probe, choice = choose_probe(features, gold.labels, seed=0)
    own = figures_by_kind(gold.labels, choice.scores)
    unseen = figures_by_kind(gold.held_out, probe.log_odds(features[choice.setting.layer], gold.held_out))
    print(chosen(choice), best_by_layer(choice))
    print(f"{'kind':<20}{'labels':>7}{'cross-validated':>17}{'held out':>10}{'interval':>18}{'majority':>10}")
    for kind, figure in unseen.items():
        interval = f"{figure.low:.1%} to {figure.high:.1%}"
        print(
            f"{kind:<20}{figure.labels:>7}{own[kind].accuracy:>17.1%}{figure.accuracy:>10.1%}{interval:>18}"
            f"{figure.majority:>10.1%}"
        )
    mean = float(np.mean([figure.accuracy for figure in unseen.values()]))
    print(f"mean balanced accuracy, held out: {mean:.1%}; without labels: {gold.unavailable}")
    return {
        "chosen": chosen(choice),
        "tried": best_by_layer(choice),
        "adapter": {"learning_rate": options.learning_rate, "epochs": options.epochs}
        if options.lora
        else None,
        "the adapter's own answers": own_answers,
        "labels": len(gold.labels),
        "mean": mean,
        "held out": {kind: figure.model_dump() for kind, figure in unseen.items()},
        "cross-validated": {kind: figure.model_dump() for kind, figure in own.items()},
    }


def with_adapter(gold: JudgeGold, source: StateSource, options: argparse.Namespace) -> StateSource:
    """Train an adapter on three quarters of the prompts, leave the labels of the others in `gold`."""
    asking = Questions(CONSTITUTION, PromptTemplates())
    requests = {number: request_of(asking, question) for question, number in gold.questions.items()}
    rows = {number: source.row(request) for number, request in requests.items()}
    config = JudgeAdapterConfig(options.learning_rate, options.epochs)
    started, before = time.monotonic(), time.process_time()
    found, gold.labels[:] = adapted(source, gold.labels, rows, requests[0], options.lora, config, seed=0)
    wall, spent = time.monotonic() - started, time.process_time() - before
    print(f"adapter: {wall:.0f} s, {spent:.0f} s of CPU")
    return found


def answered(gold: JudgeGold, source: StateSource, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the adapter's own Yes or No on the held-out labels, by kind, and print."""
    import torch

    asking = Questions(CONSTITUTION, PromptTemplates())
    requests = [request_of(asking, question) for question in gold.questions]
    policy: Any = load_policy(
        source.config, LoraConfig(), source.device, 0, start=options.lora / ADAPTER_FOLDER
    )
    yes, no = source.choice_tokens(requests[0])
    questions = [source.row(requests[label.first]).ids for label in gold.held_out]
    scorer = JudgeScorer(policy, (yes, no), max(questions, key=len))
    # Questions about one reply are neighbours in order of their tokens.
    order = sorted(range(len(questions)), key=lambda index: questions[index])
    log_odds = np.zeros(len(questions))
    with torch.inference_mode():
        for start in range(0, len(order), 16):
            part = order[start : start + 16]
            log_odds[part] = scorer(policy, [questions[index] for index in part]).numpy()
    found = {kind: figure.model_dump() for kind, figure in figures_by_kind(gold.held_out, log_odds).items()}
    for kind, figure in found.items():
        print(f"own answers, {kind:<20}{figure['accuracy']:>8.1%}")
    print(f"own answers, mean: {np.mean([figure['accuracy'] for figure in found.values()]):.1%}", flush=True)
    return found


def measure_speed(options: argparse.Namespace, source: StateSource, store: VectorStore) -> dict[str, Any]:
    """Label the same comparisons by `choice` and by a judge on the same model, and print both speeds."""
    pairs = preferences(options.data / "hh_rlhf/harmless_dev.jsonl.gz", options.timed)
    comparisons = [
        Comparison.of(Prompt.of(pair.prompt), (pair.chosen, "a"), (pair.rejected, "b")) for pair in pairs
    ]
    constitution = load_constitution("helpful-honest-harmless")
    model = ModelConfig.model_validate({"id": options.model, "dtype": options.dtype})
    result: dict[str, Any] = {"comparisons": len(comparisons), "layer": options.layers[-1]}
    with tempfile.TemporaryDirectory() as folder:
        write_some_judge(Path(folder), model, source, options.layers[-1])
        engines: dict[str, Any] = {
            "choice": TransformersEngine(model, EngineConfig()),
            "pointwise": ProbeEngine(Path(folder), "cpu"),
        }
        for mode, engine in engines.items():
            config = LabelConfig(mode=mode, principles=options.principles, min_answer_mass=0.0)
            labeler = AILabeler(constitution, engine, config)
            asyncio.run(labeler.label(comparisons[0]))  # loads the model
            wall, spent = time.monotonic(), time.process_time()
            labels = asyncio.run(label_all(labeler, comparisons[1:]))
            wall, spent = time.monotonic() - wall, time.process_time() - spent
            name = "probe" if mode == "pointwise" else mode
            result |= {f"{name}, labels/s": labels / wall, f"{name}, labels/s of CPU": labels / spent}
            engine.close()
    for unit in ("labels/s", "labels/s of CPU"):
        result[f"ratio of {unit}"] = result[f"probe, {unit}"] / result[f"choice, {unit}"]
    for name, value in result.items():
        print(f"{name:<28}{value:.4g}")
    return result


async def label_all(labeler: AILabeler, comparisons: Sequence[Comparison]) -> int:
    """Label comparisons that are all asked about at once; return the number of judgments."""
    found = await asyncio.gather(*map(labeler.label, comparisons))
    return sum(map(len, found))


def write_some_judge(folder: Path, model: ModelConfig, source: StateSource, layer: int) -> None:
    """Write a judge of which only the speed matters: its weights are random."""
    import torch

    width = source.reader.width
    write_probe(
        folder, torch.randn(2 * width + 1, dtype=torch.float64) / width, torch.zeros((), dtype=torch.float64)
    )
    settings = JudgeSettings(
        model=model,
        identity=source.identity,
        templates=PromptTemplates().digest_of("pointwise"),
        layer=layer,
        layers=source.depth,
        loss="brier",
        l2=0.0,
        temperature=1.0,
    )
    write_judge_settings(folder, settings)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--store", type=Path, default=Path("states.sqlite"))
    parser.add_argument(
        "--only", nargs="+", choices=("hhh", "checks", "speed"), default=["hhh", "checks", "speed"]
    )
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--comparisons", type=int)
    parser.add_argument("--replies", type=int, default=500)
    parser.add_argument("--per-kind", type=int, default=60)
    parser.add_argument("--held-out", type=int, help="labels of each kind to measure on; all if not given")
    parser.add_argument("--lora", type=Path, metavar="DIR", help="checks: train an adapter into this folder")
    parser.add_argument("--probe-labels", type=int, help="labels for the probe above the adapter")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--timed", type=int, default=17, help="comparisons, one of them to load the model")
    parser.add_argument("--principles", type=int, default=4, help="principles of each comparison, for speed")
    parser.add_argument("--layers", type=int, nargs="+", default=[10, 15, 20, 25])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    source = StateSource(ModelConfig.model_validate({"id": options.model, "dtype": options.dtype}), "cpu")
    parts = {"hhh": measure_hhh, "checks": measure_checks, "speed": measure_speed}
    result = {}
    with VectorStore(options.store) as store:
        for part in options.only:
            result[part] = parts[part](options, source, store)
            if options.json:
                options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
