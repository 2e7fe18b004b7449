from __future__ import annotations

from pathlib import Path

import pytest

from publius.config.run_file import load_run_config
from publius.stages.training.usable import UsablePairs
from tests.publius.trainable import write_trainable
from training.examples import PreferencePair


def pair(number: int, p: float, *, finished: bool) -> PreferencePair:
    prompt = ({"role": "user", "content": "Is it?"},)
    return PreferencePair(str(number), prompt, "Yes.", "No.", p_chosen=p, chosen_finished=finished)  # type: ignore[arg-type]


def counted(near_and_cut: int, near: int, cut: int, fine: int) -> UsablePairs:
    kinds = [(0.51, False)] * near_and_cut + [(0.51, True)] * near
    kinds += [(0.9, False)] * cut + [(0.9, True)] * fine
    return UsablePairs.of((pair(n, p, finished=whole) for n, (p, whole) in enumerate(kinds)), 0.05)


LONGER = "raise compare.sampling.max_new_tokens (now 12), or end answers earlier with compare.sampling.stop"
MARGIN = "lower dpo.min_margin (now 0.05)"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (
            (11, 0, 1, 0),
            f"{LONGER}; {MARGIN}: the first alone leaves at most 1 of 12 pairs, the second 0, both 12",
        ),
        (
            (0, 3, 1, 0),
            f"{MARGIN}; {LONGER}: the first alone leaves at most 3 of 4 pairs, the second 1, both 4",
        ),
        ((0, 0, 2, 0), LONGER),
        ((0, 2, 0, 5), MARGIN),
        ((0, 0, 0, 2), ""),
    ],
)
def test_each_reason_is_named_with_its_setting_and_what_one_change_alone_leaves(
    tmp_path: Path, kinds: tuple[int, int, int, int], expected: str
):
    config = load_run_config(
        write_trainable(tmp_path, tmp_path, source="base"), ("compare.sampling.max_new_tokens=12",)
    )
    assert counted(*kinds).remedy(config) == expected


def test_settings_of_the_answers_that_are_compared_are_named(tmp_path: Path):
    config = load_run_config(write_trainable(tmp_path, tmp_path, source="revisions"))
    remedy = counted(0, 0, 1, 0).remedy(config)
    assert "critique.draft.max_new_tokens (now" in remedy
    assert remedy.endswith("end answers earlier with critique.draft.stop and critique.revision.stop")


def test_pairs_that_can_be_used_are_counted_once():
    found = counted(2, 1, 3, 4)
    assert found.as_json() == {"pairs": 10, "near_tie": 3, "cut": 5, "both": 2, "usable": 4}
    assert found.in_words() == (
        "DPO can train on 4 of 10 pairs: not on 3 within dpo.min_margin of a tie, 5 with a chosen answer "
        "that is cut off at its token limit, 2 of these for both reasons"
    )
