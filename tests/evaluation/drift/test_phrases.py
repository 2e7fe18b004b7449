"""Phrases that spread: found without a list, counted once in an answer, with few false alarms."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from evaluation.drift.boilerplate import boilerplate_series
from evaluation.drift.phrases import phrases_in, spread_phrases
from tests.evaluation.drift.texts import answers, random_text

SAMPLES = Path(os.environ.get("PUBLIUS_CAI_SAMPLES", "the samples are not here"))
REASSURANCE = "I'm here to listen if you want to talk."


def texts(seed: int, prompts: int = 40) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {f"p{number:03}": [random_text(rng)] for number in range(prompts)}


def test_a_planted_phrase_is_found_with_its_shares_and_an_example():
    base, ours = texts(0), texts(1)
    for number, prompt_id in enumerate(ours):
        if number % 2:
            ours[prompt_id] = [
                f"{ours[prompt_id][0]} {REASSURANCE} {random_text(np.random.default_rng(number), 9)}"
            ]
    found = spread_phrases(ours, base)
    assert found[0].text == "here to listen if you want to talk"  # at most eight words
    assert (found[0].share, found[0].base_share) == (0.5, 0.0)
    assert found[0].is_boilerplate
    assert found[0].p_value == pytest.approx(1 / 500)
    assert REASSURANCE[:-1] in found[0].example
    assert len(found) <= 2  # of dozens of overlapping phrases
    assert all(phrase.text in REASSURANCE for phrase in found)


def test_one_answer_cannot_make_a_phrase():
    base, ours = texts(0), texts(1)
    for prompt_id in ("p000", "p001"):
        ours[prompt_id] = [f"{REASSURANCE} " * 50]
    assert spread_phrases(ours, base) == ()


def test_several_answers_to_one_prompt_count_as_one_prompt():
    """Seventeen samples that repeat the subject of their prompt are no sign of boilerplate."""
    base, ours = texts(0), texts(1)
    ours["p000"] = [
        f"the subject of this prompt {random_text(np.random.default_rng(n), 20)}" for n in range(17)
    ]
    ours["p001"] = list(ours["p000"])
    assert spread_phrases(ours, base) == ()


def test_a_phrase_that_base_has_as_often_is_not_one_that_spread():
    base, ours = texts(0), texts(1)
    for given in (base, ours):
        for prompt_id in given:
            given[prompt_id] = [f"{given[prompt_id][0]} {REASSURANCE}"]
    assert spread_phrases(ours, base) == ()


def test_false_alarms_are_at_most_five_percent():
    alarms = sum(bool(spread_phrases(texts(2 * n), texts(2 * n + 1), seed=n)) for n in range(30))
    assert alarms <= 5  # 30 x 5 % = 1.5; more than 5 has a probability of 0.3 %


def test_case_and_punctuation_do_not_matter():
    assert ("im", "here", "to") in phrases_in("I’m here, to listen")
    assert phrases_in("two words") == set()


def test_boilerplate_is_counted_on_prompts_where_it_was_not_looked_for():
    base = {name: given[0] for name, given in texts(0, 80).items()}
    ours = {name: given[0] for name, given in texts(1, 80).items()}
    for number, name in enumerate(ours):
        if number % 2:
            ours[name] += f" {REASSURANCE}"
    found = {one.variant: one.values for one in boilerplate_series(answers({"base": base, "sft": ours}))}
    assert np.mean(list(found["sft"].values())) == pytest.approx(0.5)
    assert sum(found["base"].values()) == 0


def test_without_a_difference_there_is_no_boilerplate():
    base = {name: given[0] for name, given in texts(0, 80).items()}
    ours = {name: given[0] for name, given in texts(1, 80).items()}
    found = boilerplate_series(answers({"base": base, "sft": ours}))
    assert all(sum(one.values.values()) == 0 for one in found)


def published(name: str) -> dict[str, list[str]]:
    """Return the samples of one model of the Constitutional AI paper by prompt."""
    with gzip.open(SAMPLES / f"PALMS_{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {
        row["rl_prompt"]: [one["sampled_string"].split("\n\nHuman:")[0] for one in row["sampled_answers"]]
        for row in rows
    }


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="set PUBLIUS_CAI_SAMPLES to a folder with PALMS_*.jsonl.gz")
def test_the_reassurance_of_rl_cai_is_found_and_nothing_like_it_elsewhere():
    base = published("HRLHF")
    found = [phrase for phrase in spread_phrases(published("RLMADISON"), base) if phrase.is_boilerplate]
    assert any("here to listen" in phrase.text for phrase in found)
    assert max(phrase.rise for phrase in found) > 0.6
    assert not any(phrase.is_boilerplate for phrase in spread_phrases(published("RLMADISON_COT"), base))
    # The other way round: what the helpful model writes more often than RL-CAI does.
    other_way = spread_phrases(base, published("RLMADISON"))
    assert max((phrase.rise for phrase in other_way), default=0) < 0.3
