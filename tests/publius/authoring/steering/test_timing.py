"""The measurement of speed on a tiny model; its answers are those of the evaluation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from publius.authoring.steering.prompts import demo_prompts
from publius.authoring.steering.timing import Speed, measure_speed
from publius.config.run_file import RunConfig, build_run_config
from publius.runs.engines import Engines, make_engine
from publius.runs.project import open_cache
from tests.publius.trainable import roomy


def measured(config: RunConfig, project: Path) -> Speed:
    with open_cache(project) as cache:
        engines = Engines(config.models, config.engine, cache, make_engine, ("policy",))
        try:
            return measure_speed(config, engines, demo_prompts().test)
        finally:
            engines.close()


@pytest.mark.slow
def test_speed_is_measured_anew_where_the_answers_are_in_the_cache(tiny_folder: Path, tmp_path: Path):
    pytest.importorskip("peft")
    values = {
        "constitution": "plain-and-brief",
        "prompts": "p.jsonl",
        "models": {"policy": str(roomy(tiny_folder, tmp_path / "model"))},
        "engine": {"device": "cpu"},
        "eval": {"sampling": {"max_new_tokens": 12}},
        "lora": {"r": 4, "alpha": 8},
    }
    first, again = (measured(build_run_config(values), tmp_path) for _ in range(2))
    assert (first.answer_tokens, first.prompt_tokens) == (again.answer_tokens, again.prompt_tokens)
    assert 0 < first.answer_tokens <= 12
    for speed in (first, again):
        rates = (speed.generated_per_s, speed.trained_per_s, speed.load_s)
        assert all(math.isfinite(rate) and rate > 0 for rate in rates)
        assert speed.generated_per_s > 1
