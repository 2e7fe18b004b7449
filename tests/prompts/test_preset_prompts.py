"""The prompts of presets: of the same form as those of the demo, and none of them twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from constitution.loader import preset_names
from prompts.sources import normalised
from publius.sources.prompts import read_prompts

FOLDER = Path(__file__).parents[2] / "prompts" / "presets"
DEMO = FOLDER.parent / "demo" / "prompts.jsonl"
FILES = sorted(FOLDER.glob("*.jsonl"))
GENERAL = {"helpful-honest-harmless", "plain-and-brief"}
"""Presets for questions of all kinds, which have the prompts of the demo."""


def test_every_other_preset_has_prompts_of_its_own():
    assert {path.stem for path in FILES} == set(preset_names()) - GENERAL


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_prompt_has_one_of_three_tags_in_the_same_shares_in_both_splits(path: Path):
    kinds = {"everyday", "borderline", "tempting"}
    prompts = list(read_prompts(path))
    assert all(len(kinds & set(prompt.tags)) == 1 for prompt in prompts)
    found = Counter((prompt.split, *(kinds & set(prompt.tags))) for prompt in prompts)
    assert found == {
        ("train", "everyday"): 16,
        ("train", "borderline"): 8,
        ("train", "tempting"): 8,
        ("test", "everyday"): 8,
        ("test", "borderline"): 4,
        ("test", "tempting"): 4,
    }


def test_none_is_there_twice_in_any_of_the_files():
    texts = [normalised(prompt.messages) for path in (DEMO, *FILES) for prompt in read_prompts(path)]
    assert len(set(texts)) == len(texts)


def test_prompts_of_a_desk_have_topics_that_rules_can_be_limited_to():
    tags = Counter(tag for prompt in read_prompts(FOLDER / "customer-support.jsonl") for tag in prompt.tags)
    assert min(tags[topic] for topic in ("refund", "delivery", "account", "angry")) >= 4
