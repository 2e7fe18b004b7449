"""Splits follow their shares, and no prompt is repeated or nearly repeated in two of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from core.records import Message, Prompt, Split
from core.store.near_duplicates import GramCounts
from prompts.sources import Admission, Admissions, Duplicates, assign_split, compared_text, normalised

SHARES: dict[Split, float] = {"train": 0.45, "preference": 0.5, "test": 0.05}


def prompt(text: str, **fields: Any) -> Prompt:
    return Prompt.of((Message(role="user", content=text),), **fields)


def test_shares_are_followed():
    found = Counter(assign_split(prompt(f"Question number {i}?"), SHARES).split for i in range(5000))
    for split, share in SHARES.items():
        # Three standard deviations of a binomial share.
        assert found[split] / 5000 == pytest.approx(share, abs=3 * (share * (1 - share) / 5000) ** 0.5)


def test_split_depends_on_the_prompt_alone():
    texts = [f"Question {i}" for i in range(50)]
    forward = {text: assign_split(prompt(text), SHARES).split for text in texts}
    backward = {text: assign_split(prompt(text, tags=("x",)), SHARES).split for text in reversed(texts)}
    assert forward == backward


def test_splits_are_the_same_in_every_version():
    # Were these to change, prompts would move from a user's test split into training.
    found = [assign_split(prompt(f"Question {i}"), SHARES).split for i in range(8)]
    assert found == ["train", "train", "test", "preference", "train", "train", "preference", "preference"]


@pytest.mark.parametrize(
    "variant",
    ["how do i boil an egg", "How  do I boil\nan egg?", "HOW DO I BOIL AN EGG!!", "«How do I boil an egg…»"],
)
def test_prompts_that_differ_in_case_spacing_or_punctuation_share_a_split(variant: str):
    for i in range(40):
        one, two = prompt(f"How do I boil an egg? {i}"), prompt(f"{variant} {i}")
        assert assign_split(one, SHARES).split == assign_split(two, SHARES).split


def test_normalised_text_keeps_the_words_of_all_messages():
    messages = (
        Message(role="system", content="Be  brief."),
        Message(role="user", content="STRASSE, naïve_1!"),
    )
    assert normalised(messages) == "be brief strasse naïve_1"
    assert normalised(prompt("Straße").messages) == normalised(prompt("STRASSE").messages)


def test_split_that_the_prompt_names_stands():
    assert all(assign_split(prompt(f"{i}", split="test"), {"train": 1.0}).split == "test" for i in range(20))


def test_split_without_a_share_gets_nothing():
    found = {assign_split(prompt(f"{i}"), {"train": 0.5, "test": 0.5}).split for i in range(200)}
    assert found == {"train", "test"}


def test_shares_that_fall_short_of_one_by_rounding_lose_no_prompt():
    shares: dict[Split, float] = {"train": 0.0, "preference": 1e-9, "test": 0.0}
    assert assign_split(prompt("any"), shares).split == "preference"


# Admission


LONG = "Could you explain to me, step by step, how the heart of a whale moves blood to such a long tail"


def admitted(
    prompts: Sequence[Prompt], limit: int | None = None, duplicates: Duplicates = "exact"
) -> list[Admission]:
    counts = GramCounts()
    for one in prompts:
        counts.add(compared_text(one))
    with Admissions(SHARES, counts, limit, duplicates) as admissions:
        return [admissions.decide(one, f"row {number}") for number, one in enumerate(prompts, start=1)]


def test_exact_duplicate_is_skipped_with_its_place():
    found = admitted([prompt("Hi"), prompt("Hi")])
    assert [(entry.reason, entry.detail) for entry in found] == [
        ("", ""),
        ("duplicate prompt", "row 2 repeats row 1"),
    ]


def test_same_text_with_other_tags_is_another_prompt_in_the_same_split():
    found = admitted([prompt("Hi"), prompt("Hi", tags=("x",)), prompt("Hi", tags=("x",))])
    assert [entry.reason for entry in found] == ["", "", "duplicate prompt"]
    assert found[0].prompt.id == prompt("Hi").id  # the first keeps the id that it always had
    assert found[1].prompt.id != found[0].prompt.id
    assert all(entry.prompt.has_own_id() for entry in found)
    assert found[0].prompt.split == found[1].prompt.split
    assert "repeat" not in found[0].prompt.to_line()


def test_all_duplicates_are_kept_if_asked_each_with_its_id():
    found = admitted([prompt("Hi", tags=("x",))] * 4, duplicates="keep")
    assert not any(entry.reason for entry in found)
    assert len({entry.prompt.id for entry in found}) == 4
    assert all(entry.prompt.has_own_id() for entry in found)


@pytest.mark.parametrize(("duplicates", "skipped"), [("exact", set()), ("normalised", {1}), ("near", {1, 2})])
def test_near_duplicates_are_skipped_as_asked(duplicates: Duplicates, skipped: set[int]):
    texts = [f"{LONG}?", f"{LONG.upper()} !", f"{LONG}, please?", "How do I boil an egg?"]
    found = admitted([prompt(text) for text in texts], duplicates=duplicates)
    assert {number for number, entry in enumerate(found) if entry.reason} == skipped
    assert [entry.near for entry in found if not entry.reason].count(True) == 2 - len(skipped)
    assert [number for number, entry in enumerate(found) if entry.same_words] == [1][: 1 - len(skipped)]


def test_a_prompt_of_the_same_words_and_other_tags_is_told_from_one_of_other_words():
    found = admitted([prompt(f"{LONG}?"), prompt(f"{LONG}?", tags=("x",)), prompt(f"{LONG}, please?")])
    assert [(entry.near, entry.same_words) for entry in found] == [
        (False, False),
        (True, True),
        (True, False),
    ]


def test_a_skipped_near_duplicate_names_the_prompt_that_it_resembles():
    texts = ["How do I boil an egg?", f"{LONG}?", f"{LONG}, please?", f"{LONG.upper()} !"]
    found = admitted([prompt(text) for text in texts], duplicates="near")
    assert [entry.detail for entry in found[2:]] == [
        f'row 3 nearly repeats row 2: "{shown(found[2])}", "{shown(found[1])}"',
        "row 4 repeats row 2",
    ]
    assert [entry.is_similar for entry in found] == [False, False, True, False]


def shown(entry: Admission) -> str:
    text = entry.prompt.messages[0].content
    return text if len(text) <= 80 else f"{text[:40].rstrip()} ... {text[-40:].lstrip()}"


def talk(*turns: str) -> Prompt:
    roles = itertools.cycle(("user", "assistant"))
    return Prompt.of(
        tuple(Message(role=role, content=text) for role, text in zip(roles, turns, strict=False))
    )


def test_a_conversation_does_not_repeat_the_prompt_that_it_begins_with():
    asked = "Why?"
    found = admitted(
        [prompt(f"{LONG}?"), talk(f"{LONG}?", asked, "So."), talk(f"{LONG}, please?", asked, "So.")],
        duplicates="near",
    )
    assert [entry.reason for entry in found] == ["", "", "near-duplicate of an earlier prompt"]
    assert found[1].near
    assert found[1].prompt.split == found[0].prompt.split
    assert found[2].detail.startswith("row 3 nearly repeats row 2: ")


def test_near_duplicates_share_a_split_whatever_their_hashes():
    for number in range(40):
        one, two = prompt(f"{LONG} number {number}?"), prompt(f"{LONG} number {number}, please?")
        assert len({entry.prompt.split for entry in admitted([one, two])}) == 1


def test_chain_of_near_duplicates_does_not_reach_from_training_into_test():
    words = LONG.split()
    chain = [
        prompt(" ".join([*words[:n], *(word[::-1] for word in words[n:])]))
        for n in range(len(words), len(words) - 9, -1)
    ]
    found = admitted([chain[0].model_copy(update={"split": "train"}), *chain[1:]])
    near = [entry.prompt.split for entry in found if entry.near]
    assert len(near) > 5
    assert "test" not in near


def test_near_duplicate_that_names_the_other_split_is_skipped():
    found = admitted([prompt(f"{LONG}?", split="train"), prompt(f"{LONG}, please?", split="test")])
    assert found[1].reason == "near-duplicate of a prompt in another split"
    assert found[1].detail.startswith("row 2 nearly repeats row 1: ")


def test_template_that_all_prompts_share_makes_no_near_duplicates():
    template = "You work for a shop that sells tea by post. Answer the customer in two sentences. Customer: "
    topics = [f"{'abcdefghijklm'[n]}{'nopqrstuvwxyz'[n]}" * 4 for n in range(13)]
    assert not any(entry.near for entry in admitted([prompt(f"{template}{topic}") for topic in topics]))


def test_prompts_of_symbols_alone_are_not_the_same():
    found = admitted([prompt("???"), prompt("!!!"), prompt("\U0001f600")], duplicates="near")
    assert not any(entry.reason for entry in found)


def test_limit_counts_training_prompts_only():
    rows = [prompt(f"Q{n}", split="test" if n % 2 else "train") for n in range(10)]
    found = admitted(rows, limit=2)
    assert [entry.prompt.messages[0].content for entry in found if entry.reason] == ["Q4", "Q6", "Q8"]
