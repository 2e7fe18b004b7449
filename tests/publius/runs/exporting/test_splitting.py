"""The split of an export: prompts that resemble each other are on one side, and a share is as asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.records import Comparison, Message, Prompt, PromptColumns
from core.store.record_store import RecordStore
from publius.runs.exporting.splitting import NEAR_ALONE, StayTogether, TestSplit
from publius.runs.records import RunFiles

TOPICS = [
    "a leaking radiator in the bathroom", "an old bicycle with a rusty chain", "a noisy neighbour upstairs",
    "growing tomatoes on a shady balcony", "a lost passport before a flight", "mould behind the wardrobe",
    "repotting a very large orchid", "sourdough bread that never rises", "a parking fine from abroad",
    "choosing a second-hand violin", "a toddler who refuses vegetables", "learning to swim at forty",
]  # fmt: skip


def asked(*texts: str, system: str = "") -> Prompt:
    """Return a prompt whose turns are these texts, the last one of the user."""
    turns = [Message(role="system", content=system)] if system else []
    for place, text in enumerate(texts):
        turns.append(Message(role="assistant" if place % 2 else "user", content=text))
    return Prompt.of(tuple(turns))


def files_of(folder: Path, prompts: Iterable[Prompt], added: Iterable[Prompt] = ()) -> RunFiles:
    """Return the records of a run with these prompts, and others that came with human labels."""
    folder.mkdir(parents=True)
    files = RunFiles(RecordStore(folder))
    for prompt in prompts:
        files.prompts.append(prompt.model_copy(update={"split": "train"}))
    for prompt in added:
        files.added_comparisons.append(Comparison.of(prompt, ("yes", "x"), ("no", "y")))
    return files


def splits(files: RunFiles, share: float | None, prompts: Iterable[Prompt]) -> list[str]:
    every = [*files.prompts, *(comparison.prompt for comparison in files.added_comparisons)]
    with TestSplit(files, share, (prompt.messages for prompt in every)) as split:
        return [split.split_of(prompt.messages) for prompt in prompts]


@pytest.mark.parametrize("share", [None, 0.2, 0.5])
def test_near_duplicates_are_in_one_split_whatever_their_hashes(tmp_path: Path, share: float | None):
    for number in range(4):
        own = [asked(f"What should I do about {topic}, case {number}?") for topic in TOPICS]
        again = [asked(f"How do I start about {topic}, case {number}?", system="Brief.") for topic in TOPICS]
        labelled = [asked(f"what should i do about {topic}, case {number}") for topic in TOPICS[::2]]
        files = files_of(tmp_path / str(number), [*own, *again], labelled)
        found = [splits(files, share, prompts) for prompts in (own, again, labelled)]
        assert found[0] == found[1]
        assert found[0][::2] == found[2]


def test_conversations_that_begin_alike_are_in_one_split_and_a_greeting_joins_none(tmp_path: Path):
    begun = [asked(f"What should I do about {topic}?") for topic in TOPICS]
    longer = [asked(begun[n].messages[0].content, "Tell me more.", f"It is {n}.") for n in range(12)]
    greeted = [asked("Hello", "How can I help?", f"It is about {topic}, {topic}.") for topic in TOPICS[::-1]]
    files = files_of(tmp_path / "run", [*begun, *longer, *greeted])
    assert splits(files, 0.5, begun) == splits(files, 0.5, longer)
    assert set(splits(files, 0.5, greeted)) == {"train", "test"}


def test_test_prompts_like_training_prompts_in_a_shared_template_are_counted(tmp_path: Path):
    dishes = [
        "dal",
        "borscht",
        "pancakes",
        "chili",
        "ramen",
        "falafel",
        "goulash",
        "kimchi",
        "quiche",
        "paella",
        "polenta",
        "risotto",
    ]
    template = "For how many people do you want to cook, and is one of them vegan? Six, and two are vegan."
    cooked = [
        asked(f"I want to make {dish} tonight, and I want to make it well. {template}") for dish in dishes
    ]
    for prompts, counts_all in (
        (cooked, True),
        ([asked(f"Help me with {topic}.") for topic in TOPICS], False),
    ):
        files = files_of(tmp_path / str(counts_all), prompts)
        with TestSplit(files, 0.5, (prompt.messages for prompt in prompts)) as split:
            found = [split.split_of(prompt.messages) for prompt in prompts]
            assert found.count("test") == len(prompts) // 2
            assert split.alike() == (len(prompts) // 2 if counts_all else 0)
    with TestSplit(files_of(tmp_path / "one side", cooked), 0) as split:
        assert {split.split_of(prompt.messages) for prompt in cooked} == {"train"}
        assert split.alike() == 0


PLACES = ("Tallinn", "Kyoto", "Lisbon", "Bergen", "Ghent", "Quito")
ASKED = ("What is there to do in {} with small kids when it rains?", "Can I bring my dog on the train to {}?",
         "Do I need a visa for {}?", "My flight to {} was cancelled. What can I ask for?")  # fmt: skip


def test_prompts_of_a_template_stay_together_by_their_similarity_or_a_column(tmp_path: Path):
    prompts = [asked(template.format(place)) for template in ASKED for place in PLACES]
    files = files_of(tmp_path / "run", prompts)
    for prompt, template in zip(prompts, (t for t in ASKED for _ in PLACES), strict=True):
        files.prompt_columns.append(PromptColumns(id=prompt.id, row="1", columns={"form": template}))
    for together in (NEAR_ALONE, StayTogether(similarity=0.5), StayTogether(by="form")):
        every = (prompt.messages for prompt in prompts)
        with TestSplit(files, 0.25, every, together=together) as split:
            found = [split.split_of(prompt.messages) for prompt in prompts]
            sides = {frozenset(found[start : start + 6]) for start in range(0, 24, 6)}
            assert found.count("test") == 6
            assert split.missed() == ""
            if together is NEAR_ALONE:
                assert frozenset({"train", "test"}) in sides
                assert split.alike() > 0
            else:
                assert sides == {frozenset({"train"}), frozenset({"test"})}
                assert split.alike() == 0
    with TestSplit(files, 0.1, (p.messages for p in prompts), together=together) as split:
        assert {split.split_of(prompt.messages) for prompt in prompts} == {"train"}
        assert split.missed().endswith("are not divided, and the smallest has 6 of 24")
    with TestSplit(files, 0.15, (p.messages for p in prompts), together=together) as split:
        assert [split.split_of(prompt.messages) for prompt in prompts].count("test") == 6
        assert "has 6 of 24 prompts (25%) for a share of 0.15" in split.missed()


def test_prompts_with_a_tag_in_common_stay_together(tmp_path: Path):
    tags = [("travel",), ("travel", "rain"), ("rain",), ("pets",), ("pets",), ()]
    prompts = [
        Prompt.of(asked(f"Help me with {t}.").messages, tags=g) for t, g in zip(TOPICS, tags, strict=False)
    ]
    files = files_of(tmp_path / "run", prompts)
    for share in (0.2, 0.5, 0.8):
        together = StayTogether(by="tags")
        with TestSplit(files, share, (prompt.messages for prompt in prompts), together=together) as split:
            found = [split.split_of(prompt.messages) for prompt in prompts]
        assert len(set(found[:3])) == len(set(found[3:5])) == 1


@pytest.mark.parametrize("together", [StayTogether(0.0), StayTogether(1.5), StayTogether(by="form")])
def test_a_column_that_no_row_carries_and_a_similarity_out_of_range_are_refused(together: StayTogether):
    with pytest.raises(ConfigError, match=r"--test-(by|similarity): (no column 'form' is carried|found)"):
        together.check(["ticket"])


def test_without_a_test_split_nothing_can_stay_together_in_it(tmp_path: Path):
    files = files_of(tmp_path / "run", [asked("Why?")])
    for share, holds_out in ((0.0, True), (None, False)):
        with pytest.raises(
            ConfigError, match="there is no test split; accepted: them with --test-share SHARE"
        ):
            TestSplit(files, share, holds_out=holds_out, together=StayTogether(0.5))


def test_a_given_share_is_taken_as_exactly_as_the_groups_allow(tmp_path: Path):
    prompts = [asked(f"What should I do about {topic}?") for topic in TOPICS]
    repeated = [asked(f"{prompt.messages[0].content} Please, {word}.") for prompt in prompts for word in "ab"]
    files = files_of(tmp_path / "run", [*prompts, *repeated])
    for share, expected in ((0.0, 0), (0.25, 9), (0.5, 18), (0.9, 33)):
        with TestSplit(files, share, (prompt.messages for prompt in (*prompts, *repeated))) as split:
            found = [split.split_of(prompt.messages) for prompt in (*prompts, *repeated, *prompts)]
        assert found.count("test") - found[:12].count("test") == expected
        assert split.prompts.get("test", 0) == expected
        assert sum(split.prompts.values()) == 36


def test_a_larger_share_holds_the_smaller_one_and_prompts_added_later_move_none_by_default(tmp_path: Path):
    prompts = [asked(f"What should I do about {topic}?") for topic in TOPICS]
    files = files_of(tmp_path / "run", prompts)
    few, many = splits(files, 0.25, prompts), splits(files, 0.5, prompts)
    assert {place for place, split in enumerate(few) if split == "test"} < {
        place for place, split in enumerate(many) if split == "test"
    }
    fewer = files_of(tmp_path / "fewer", prompts[:6])
    assert splits(files, None, prompts)[:6] == splits(fewer, None, prompts[:6])


@pytest.mark.parametrize("share", [-0.1, 1.0, 20, float("nan")])
def test_a_share_that_leaves_nothing_to_train_on_is_refused(tmp_path: Path, share: float):
    with pytest.raises(ConfigError, match="--test-share: found"):
        TestSplit(files_of(tmp_path / "run", []), share)
