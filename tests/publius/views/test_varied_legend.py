from __future__ import annotations

from pathlib import Path

from evaluation.derived.seeds import SeedMetrics
from publius.views.varied import SeedGroup, left_out_in_words


def test_metrics_that_are_left_out_are_named_by_variant_and_seed_with_what_shows_them():
    without = {"dpo.words": (0,), "dpo.kl": (0,), "steered.words": (0, 2), "steered.extra": (0,)}
    measured = SeedMetrics((), {}, tuple(without), without)
    group = SeedGroup("A", {}, (3, 4, 5), tuple(Path(f"runs/r{n}") for n in (3, 4, 5)), measured)
    assert left_out_in_words(group, measured) == (
        "A: left out: 2 metrics of dpo, which seed 3 lacks; 1 metric of steered, which seeds 3, 5 lack; "
        "1 metric of steered, which seed 3 lacks; they are shown by publius report runs/r4"
    )
