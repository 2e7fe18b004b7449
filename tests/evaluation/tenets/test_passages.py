"""Passages of a reply, and the one that a rating is about."""

from __future__ import annotations

import random

import pytest

from evaluation.tenets.passages import most_telling, reply_passages, without

TEXT = "I can help. Sure!\n\n- First, do this.\n- Then that, e.g. now.\n\nBye"


def shown(text: str, most: int = 12) -> list[str]:
    return [text[span.start : span.end] for span in reply_passages(text, most)]


def test_passages_are_the_sentences_of_each_line():
    found = ["I can help.", "Sure!", "- First, do this.", "- Then that, e.g. now.", "Bye"]
    assert shown(TEXT) == found


def test_at_most_so_many_and_no_word_is_lost():
    text = " ".join(f"This is sentence number {n}." for n in range(30))
    assert len(shown(text, 8)) == 8
    assert " ".join(shown(text, 8)) == text


def test_repeated_sentences_have_their_own_places():
    spans = reply_passages("Yes. No. Yes.")
    assert [span.start for span in spans] == [0, 5, 9]


@pytest.mark.parametrize("seed", range(30))
def test_spans_are_in_order_and_inside(seed: int):
    rng = random.Random(seed)
    text = "".join(rng.choice("ab. \n!?-'\"é…") for _ in range(200))
    spans = reply_passages(text)
    places = [place for span in spans for place in span]
    assert places == sorted(places)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(len(without(text, span)) < len(text) for span in spans)


def test_nothing_is_left_where_a_passage_was():
    first, second, *_ = reply_passages("One. Two. Three.")
    assert without("One. Two. Three.", first) == "Two. Three."
    assert without("One. Two. Three.", second) == "One. Three."


def test_the_cited_passage_is_the_one_whose_removal_helps_most():
    spans = reply_passages("One. Two. Three.")
    cited = most_telling("One. Two. Three.", spans, -1.0, [-1.5, 2.0, None])
    assert cited is not None
    assert (cited.text, cited.start, cited.end, cited.gain) == ("Two.", 5, 9, 3.0)
    assert most_telling("One. Two. Three.", spans, 0.0, [-1.0, 0.0, None]) is None
