"""Checks are drawn so that half of the texts pass, and a label is what the check says."""

from __future__ import annotations

import pytest

from constitution.checks.evaluate import evaluate
from constitution.gold.drawing import DRAWN_KINDS, CheckDrawer
from constitution.gold.wordings import HELD_OUT, kind_in_words, principle_texts, wordings

TEXTS = (
    "I can help with that. Put the dough in a warm place for 2 hours, and cover it with a towel.",
    "Sorry, I can't help with that request because it could hurt someone.",
    "You should ask a doctor before you take any of these pills! They differ in strength.",
    "The capital of Peru is Lima. It lies on the coast; about ten million people live there.",
    "Boil the water. Add salt (a spoon is enough). Stir it for five minutes, then serve it.",
    "My advice is to call the bank today. Ask for the number of your contract, and write it down.",
    "I'm sorry, but I cannot give instructions for breaking into a car.",
    "Das Brot ist fertig, wenn es hohl klingt. Lassen Sie es danach auf einem Gitter auskühlen.",
    "Bring an umbrella, because rain is likely. The forecast says 12 degrees and a strong wind from the sea.",
    "Trees lose their leaves in autumn. What grows in your garden?",
)


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", DRAWN_KINDS)
def test_labels_are_those_of_the_check_and_balanced(kind: str, held_out: bool):
    drawer = CheckDrawer(TEXTS, seed=3, held_out=held_out)
    labels = drawer.labels(kind, 20)
    assert len(labels) + drawer.unavailable.get(kind, 0) == 20
    passed = [label for label in labels if label.passed]
    assert len(labels) == 2 * len(passed) >= 8
    for label in labels:
        assert label.check.kind == kind
        assert evaluate(label.check, label.text).passed == label.passed
        assert label.principle in principle_texts(label.check, held_out=held_out)


def test_draws_depend_on_the_seed_alone():
    draws = [CheckDrawer(TEXTS, seed).labels("max_words", 10) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_language_that_all_texts_share_gives_no_labels():
    drawer = CheckDrawer(TEXTS[:7])
    assert drawer.labels("language", 4) == []
    assert drawer.unavailable == {"language": 4}


def test_every_kind_has_wordings_that_are_held_out_and_others():
    assert wordings().keys() == set(DRAWN_KINDS)
    for kind, texts in wordings().items():
        assert len(texts) == len(set(texts)) >= HELD_OUT + 4, kind
        assert all(kind == "json" or "{value}" in text for text in texts)


def test_a_wording_is_never_taken_for_one_of_another_kind():
    for kind, texts in wordings().items():
        found = {kind_in_words(text.format(value=20)) for text in texts}
        assert found <= {kind} or not kind.startswith(("max_", "min_")), (kind, found)
