"""Gold of single principles: which labels it is made of, and what is counted beside it."""

from __future__ import annotations

import json
from pathlib import Path

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import EndsWithQuestion, NotMatches
from constitution.schema import Constitution, Principle
from core.records import Message
from publius.sources.examples import DataSource, read_preferences
from publius.sources.judges.by_principle import BREAKING_EDITS, GoldData, gold_by_principle
from publius.sources.judges.gold import ReplyToCheck
from publius.sources.judges.replies import LabelledReply
from training.examples import PreferencePair
from training.judge.sides import gold_sides

CALM = Principle(id="calm", text="No '!'.", check=NotMatches(kind="not_regex", value="!"))
OPEN = Principle(
    id="open",
    text="It ends with no question.",
    check=EndsWithQuestion(kind="ends_with_question", value=False),
)
KIND = Principle(id="kind", text="It is kind.")
RULES = Constitution(name="c", principles=(CALM, OPEN, KIND))


def talk(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def test_every_text_is_a_label_of_every_check():
    replies = [ReplyToCheck(talk(f"Why {n}?"), f"It is {n}. So it goes, they say.") for n in range(10)]
    gold = gold_by_principle(GoldData(checked=replies), RULES, ("checks",), share=0.3, checked=5, seed=0)
    texts = {number: text for (_, text), number in gold.replies.items()}
    calm, questions = gold.principles["calm"], gold.principles["open"]
    for own in (calm, questions):
        for label in (*own.labels, *own.held_out):
            check = own.principle.check
            assert check is not None
            assert label.target == evaluate(check, texts[label.first]).passed
        assert own.sources == {"checks": len(own.labels)}
    assert [label.first for label in calm.labels] == [label.first for label in questions.labels]
    assert len({label.group for label in calm.labels}) == 5  # the largest number of replies
    assert {label.group for label in calm.labels}.isdisjoint({label.group for label in calm.held_out})
    fulfilled, broken = gold_sides(calm.labels)
    assert 5 <= broken.labels <= 5 * BREAKING_EDITS
    assert fulfilled.labels >= broken.labels  # those as they are and shortened, and edits of the other check
    assert not gold.principles["kind"].labels


def test_labels_are_of_the_principle_that_they_name(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "Hi?", "chosen": "Hello.", "rejected": "What?", "principle": "kind"},
        {"prompt": "Well?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": "So?", "chosen": "Yes.", "rejected": "No.", "principle": "gone"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_preferences(DataSource(str(path))).rows
    assert [pair.principle for pair in pairs] == ["kind", None, "gone"]
    labelled = [LabelledReply("r", talk("Hi?"), "Go away.", good=False, principle="kind")]
    data = GoldData(pairs, labelled)
    gold = gold_by_principle(data, RULES, ("pairs", "replies"), share=0.0, checked=5, seed=0)
    kind = gold.principles["kind"]
    assert kind.sources == {"replies": 1, "pairs": 1}
    assert gold.unnamed == {"pairs": 1}
    assert [(one.id, one.detail) for one in gold.excluded] == [(pairs[2].id, "gone")]
    alone = Constitution(name="c", principles=(KIND,))
    found = gold_by_principle(GoldData(pairs[:2]), alone, ("pairs",), share=0.0, checked=5, seed=0)
    assert len(found.principles["kind"].labels) == 2  # what names none is about the only principle


def test_the_name_of_a_principle_is_no_part_of_a_preference():
    one = PreferencePair("1", talk("Hi?"), "a", "b", 1.0)
    other = PreferencePair("1", talk("Hi?"), "a", "b", 1.0, principle="kind")
    assert repr(one) == repr(other)  # digests of trainings are of this
    assert one == other
