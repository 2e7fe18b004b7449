"""Agreement: tables worked by hand, the published examples, the library, and undefined values."""

from __future__ import annotations

import numpy as np
import pytest

from labelers.crowd.agreement import annotator_agreement, fleiss_kappa, kappa_in, pair_agreements, pair_tables
from labelers.crowd.votes import Vote
from labelers.position import position_biases
from tests.labelers.crowd.crowds import judged, vote


def votes_for(rows: str) -> list[Vote]:
    """One row for each annotator, a letter for each comparison: a, b, t(ie), x (both bad), or - for none."""
    values = {"a": 1.0, "b": 0.0, "t": 0.5, "x": None}
    return [
        vote(number, f"{who}", values[letter])
        for who, row in enumerate(rows.split())
        for number, letter in enumerate(row)
        if letter != "-"
    ]


def test_cohens_kappa_of_two_annotators_is_as_worked_by_hand():
    # 10 comparisons: both a 4, both b 3, a/b 2, b/a 1. p_o = 0.7; p_e = 0.6 x 0.5 + 0.4 x 0.5 = 0.5.
    (pair,) = pair_agreements(votes_for("aaaabbbaab aaaabbbbba"))
    assert (pair.comparisons, pair.observed) == (10, 0.7)
    assert pair.cohen is not None
    assert pair.cohen.value == pytest.approx(0.4)
    assert pair.cohen.low < 0.4 < pair.cohen.high


@pytest.mark.parametrize(
    ("rows", "kappa"),
    [
        ("aaaabbbaab aaaabbbbba", 0.4),
        ("ababababab bababababa", -1.0),
        ("axaxaxaxax axaxaxaxax", 1.0),
        ("aaaaaaaaaa aaaaaaaaaa", None),
        ("ababababab bbbbbbbbbb", None),  # chance agrees as often as they do, whatever the first chose
        ("abababaab abababaab", None),  # too few
    ],
)
def test_kappa_without_an_interval_is_the_same_figure(rows: str, kappa: float | None):
    (table,) = pair_tables(votes_for(rows)).values()
    assert kappa_in(table) == (None if kappa is None else pytest.approx(kappa))
    (pair,) = pair_agreements(votes_for(rows))
    assert (pair.cohen is None) == (kappa is None)


def test_fleiss_kappa_is_that_of_his_paper():
    # Fleiss (1971), table 1: 10 subjects of 30 by 14 raters, as commonly reprinted: kappa = 0.210.
    table = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ],
        dtype=float,
    )
    (kappa,) = fleiss_kappa(table, np.ones((1, 10)))
    assert kappa == pytest.approx(0.210, abs=5e-4)


def test_alpha_is_the_librarys_with_missing_votes():
    krippendorff = pytest.importorskip("krippendorff")
    rows = "aab-tbaxb- ab-btbaxbb a-abt-bxba --abbaat-b"
    codes = {"a": 0, "b": 1, "t": 2, "x": 3, "-": np.nan}
    expected = krippendorff.alpha(
        reliability_data=[[codes[letter] for letter in row] for row in rows.split()],
        level_of_measurement="nominal",
    )
    found = annotator_agreement(votes_for(rows))
    assert found is not None
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(expected, abs=1e-12)
    assert found.alpha.low < expected < found.alpha.high


def test_both_bad_is_no_tie():
    (pair,) = pair_agreements(votes_for("abtx abxt"))
    assert pair.observed == 0.5


def test_comparisons_of_one_annotator_are_not_counted():
    found = annotator_agreement(votes_for("aab abb ---a"))
    assert found is not None
    assert (found.comparisons, found.annotators) == (3, 2)
    assert annotator_agreement(votes_for("ab")) is None


def test_full_agreement_has_no_kappa_where_only_one_choice_was_made():
    found = annotator_agreement(votes_for("aaa aaa"))
    assert found is not None
    assert (found.observed.value, found.fleiss, found.alpha) == (1.0, None, None)
    found = annotator_agreement(votes_for("abab abab"))
    assert found is not None
    assert found.fleiss is not None
    assert found.fleiss.value == 1.0


def test_votes_at_random_agree_by_chance_only():
    draw = np.random.default_rng(0)
    rows = " ".join("".join(draw.choice(list("ab"), 400)) for _ in range(4))
    found = annotator_agreement(votes_for(rows))
    assert found is not None
    for figure in (found.fleiss, found.alpha):
        assert figure is not None
        assert figure.low < 0 < figure.high
        assert figure.high - figure.low < 0.2


def test_same_seed_gives_the_same_intervals():
    votes = votes_for("aabbab ababab aabbbb")
    assert annotator_agreement(votes) == annotator_agreement(list(reversed(votes)))


def test_matrix_names_every_two_who_met():
    pairs = pair_agreements(votes_for("aa-- -ab- --ab"))
    assert [(p.first, p.second, p.comparisons) for p in pairs] == [("0", "1", 1), ("1", "2", 1)]


def test_liking_for_the_first_place_is_counted_over_choices_alone():
    said = [judged(f"c{n}", "a", shown_first="a") for n in range(8)]
    said += [judged(f"d{n}", "b", shown_first="a") for n in range(2)]
    said += [judged("e", "tie", shown_first="a"), judged("f", "a")]
    (bias,) = position_biases(said)
    assert (bias.annotator, bias.choices, bias.first.value) == ("crowd/anna", 10, 0.8)
    assert bias.first.low == pytest.approx(0.490, abs=1e-3)  # Wilson's interval of 8 in 10


def test_interval_is_over_prompts_where_comparisons_share_them():
    draw = np.random.default_rng(0)
    choices = [tuple("ab"[n] for n in draw.integers(2, size=3)) for _ in range(120)]

    def votes(times: int) -> list[Vote]:
        return [
            Vote(f"c{number} {copy}", f"who {who}", "crowd", choice, float(choice == "a"))
            for number, given in enumerate(choices)
            for copy in range(times)
            for who, choice in enumerate(given)
        ]

    prompts = {f"c{number} {copy}": f"p{number}" for number in range(120) for copy in range(4)}
    one, independent = annotator_agreement(votes(1)), annotator_agreement(votes(4))
    shared = annotator_agreement(votes(4), prompts)
    assert one is not None
    assert independent is not None
    assert shared is not None
    # Four copies of a comparison under its prompt say no more than one of them.
    assert shared.observed == pytest.approx(one.observed)
    assert shared.fleiss == pytest.approx(one.fleiss)
    assert independent.fleiss is not None
    assert shared.fleiss is not None
    widths = [found.high - found.low for found in (independent.fleiss, shared.fleiss)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.1)
    pairs = pair_agreements(votes(4), prompts)
    for ours, alone in zip(pairs, pair_agreements(votes(1)), strict=True):
        assert ours.cohen == pytest.approx(alone.cohen)
        assert (ours.comparisons, ours.observed) == (4 * alone.comparisons, alone.observed)
