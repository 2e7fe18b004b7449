"""Bounds on the words of each sentence: those understood, and those that may be bounds on something else."""

from __future__ import annotations

import pytest

from constitution.asked.rules import asked_checks

BOUNDS = """
20: Not more than 20 words per sentence
25: No sentence is longer than 25 words.
20: Sentences have at most 20 words
15: short sentences (max. 15 words)
15: Write short, simple sentences (no more than 15 words).
20: 20 words per sentence at most
20: 20 words or fewer per sentence
20: At most 20 words a sentence
20: No more than 20 words in a sentence.
20: Use at most twenty words in each sentence
20: max. 20 words/sentence
20: The reply has at most 20 words per sentence.
20: Every sentence of the reply has at most 20 words.
19: Keep sentences under 20 words.
20: Limit every sentence to 20 words, please.
20: Never write a sentence longer than 20 words
20: A sentence must not exceed 20 words.
25: Avoid sentences longer than 25 words.
25: Avoid long sentences (more than 25 words).
25: Sentences over 25 words are not allowed.
20: Don't use sentences of more than 20 words
15: Answer in short sentences of up to 15 words.
60: Each sentence of the reply has at most 60 words.
20: Use sentences that are no longer than 20 words
20: Sentence length: max. 20 words
20: Maximum sentence length is 20 words
20: The longest sentence has at most 20 words
20: Max words per sentence: 20
20: Limit the number of words per sentence to 20
20: Word limit per sentence: 20
15: Short sentences: max. 15 words
15: Short sentences - 15 words at most
15: Use short sentences, at most 15 words each
60: Use short sentences, at most 60 words each
20: The reply uses short sentences, none longer than 20 words.
20: Sentences are short and have at most 20 words
20: Keep sentences short, max 20 words
12: Each sentence is short: at most 12 words.
20: Sentences: max 20 words
20: Max. 20 words per sentence, because people read on phones.
20: Replies have no sentence with more than 20 words.
""".strip().splitlines()
SEVERAL = {
    "At most 3 sentences of at most 20 words each.": ["max_sentences 3", "max_sentence_words 20"],
    "No more than three short sentences of up to 20 words.": ["max_sentences 3", "max_sentence_words 20"],
    "At most 3 sentences, at most 20 words each": ["max_sentences 3", "max_sentence_words 20"],
    "At most 3 sentences, each with at most 20 words": ["max_sentences 3", "max_sentence_words 20"],
    "At most 3 sentences (max. 20 words each)": ["max_sentences 3", "max_sentence_words 20"],
    "At most 3 sentences and at most 20 words per sentence": ["max_sentences 3", "max_sentence_words 20"],
    "Answer in one sentence of at most 20 words": ["max_sentences 1", "max_sentence_words 20"],
    "At most 2 sentences, at most 30 words": ["max_sentences 2", "max_words 30"],
    "At most 80 words, and no sentence longer than 20 words.": ["max_words 80", "max_sentence_words 20"],
    "No sentence over 20 words, max 80 words": ["max_sentence_words 20", "max_words 80"],
    "Max 20 words per sentence, max 80 words per reply.": ["max_sentence_words 20", "max_words 80"],
    "Each sentence has at most 20 words and no exclamation marks": ["max_sentence_words 20", "not_regex !"],
}
PARTS = {
    "We write short sentences (max. 20 words) and use the active voice.": "use the active voice",
    "Keep sentences under 20 words and paragraphs short.": "paragraphs short",
    "Each sentence has at most 20 words and ends with a question mark.": "ends with a question mark",
    "Sentences have at most 20 words. They have at most 100 characters.": "they have at most 100 characters",
}
OF_THE_REPLY = {
    "Use short sentences and at most 60 words": 60,
    "Use short sentences. At most 60 words.": 60,
    "Letters have short sentences and at most 90 words.": 90,
    "Keep sentences short and replies under 81 words.": 80,
}
OTHERS = """
The first sentence is short and has at most 20 words.
In the first sentence (max 20 words), say sorry.
Answer in the first two sentences, at most 20 words each
The first two sentences: at most 20 words each
The opening sentence: at most 20 words
The sentence has at most 20 words.
Every third sentence has at most 20 words.
Answer in a sentence of at most 20 words
The reply is a sentence of at most 20 words.
Answer with at most 20 words in a sentence.
Use short sentences, at most 20 words.
Short sentences; at most 20 words.
Split long sentences; max 25 words
One idea per sentence, max. 20 words.
The reply consists of short sentences with at most 60 words.
Replies of short sentences have at most 60 words.
Write at most 20 words in short sentences.
Keep sentences short and use at most 30 words.
Each sentence has at least 5 words
No sentence is shorter than 5 words
10 to 20 words per sentence
Each sentence has 20 words
About 20 words per sentence
Sentences have at most 20 words on average
Average sentence length: at most 20 words
Most sentences have at most 20 words
Not every sentence has more than 20 words.
Not all sentences have at most 20 words.
No more than one sentence has over 20 words.
At most two sentences are longer than 20 words.
Don't limit sentences to 20 words.
Sentences have at most 20 words unless asked for more.
If the customer is angry, at most 20 words per sentence.
Prefer short sentences (max 15 words)
Explain sentences longer than 20 words.
No sentence exceeds 100 characters
Each sentence has at most 3 difficult words.
Sentences in the summary have at most 20 words
The subject line is clear, at most 8 words per sentence.
Bullet points have at most 20 words per sentence.
Each sentence is friendly, has at most 20 words and at least 5 words.
""".strip().splitlines()


def shown(text: str) -> list[str]:
    asked = asked_checks(text)
    return [f"{line.kind} {line.value}" for line in asked.checks] if asked else []


@pytest.mark.parametrize("case", BOUNDS)
def test_a_bound_on_each_sentence_is_one_check(case: str):
    number, _, text = case.partition(": ")
    asked = asked_checks(text)
    assert asked is not None
    assert asked.whole
    assert shown(text) == [f"max_sentence_words {number}"]


@pytest.mark.parametrize("text", SEVERAL)
def test_bounds_on_sentences_and_on_their_words_are_told_apart(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert asked.whole
    assert shown(text) == SEVERAL[text]


@pytest.mark.parametrize("text", PARTS)
def test_what_else_is_said_of_sentences_is_left(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert [line.kind for line in asked.checks] == ["max_sentence_words"]
    assert asked.left == (PARTS[text],)


@pytest.mark.parametrize("text", OF_THE_REPLY)
def test_a_bound_on_the_reply_beside_short_sentences_stays_one(text: str):
    assert shown(text) == [f"max_words {OF_THE_REPLY[text]}"]


@pytest.mark.parametrize("text", OTHERS)
def test_other_rules_about_sentences_have_no_check(text: str):
    assert shown(text) == []
