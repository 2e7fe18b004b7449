"""The evaluation's section: defaults, what is refused, and what has no part in a run's identity."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from core.errors import ConfigError
from core.settings import OPERATIONAL
from evaluation.config import BASE, STEERED, EvalConfig, Variant
from publius.config.run_file import build_run_config


def test_defaults_are_greedy_answers_of_all_variants():
    config = EvalConfig()
    assert set(config.models) == set(get_args(Variant)) - {STEERED}  # evaluated where a run has chosen one
    assert (config.sampling.temperature, config.sampling.max_new_tokens) == (0.0, 512)
    assert config.kl


def test_only_what_is_sampled_rated_labelled_or_shown_besides_is_operational():
    operational = [n for n, f in EvalConfig.model_fields.items() if f.json_schema_extra == OPERATIONAL]
    assert operational == ["best_of", "judged", "sheet", "gold", "samples_shown"]


def test_base_alone_will_do():
    assert EvalConfig.model_validate({"models": [BASE]}).models == (BASE,)


@pytest.mark.parametrize(
    "section",
    [
        {"models": []},
        {"models": ["sft", "dpo"]},
        {"models": ["base", "sft", "sft"]},
        {"models": ["base", "rlhf"]},
        {"sampling": {"temperature": -1}},
        {"samples_shown": -1},
        {"refused": "xstest.csv"},
        {"refusals": ""},
        {"refusal_prompts": 0},
        {"prompts": 0},
        {"texts": 0},
    ],
)
def test_what_cannot_be_evaluated_is_refused(section):
    with pytest.raises(ValidationError):
        EvalConfig.model_validate(section)


def test_refusal_names_the_variant_that_is_wrong():
    with pytest.raises(ValidationError, match="does not include base"):
        EvalConfig.model_validate({"models": ["sft"]})
    with pytest.raises(ValidationError, match="lists sft more than once"):
        EvalConfig.model_validate({"models": ["base", "sft", "sft"]})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("finished=2", "finished is 2; accepted: one of: base, or a number of at most 1"),
        ("length=[1]", "length has too few values; accepted: a list of at least 2 values"),
        ("length=[3, 1]", "length is [smallest, largest], but 3 > 1"),
        ("promts=3", "unknown key 'promts'"),
    ],
)
def test_a_mistake_in_the_choice_is_one_line(setting: str, message: str):
    run = {"constitution": "harmless", "prompts": "prompts.jsonl", "models": {"policy": "embedded"}}
    with pytest.raises(ConfigError) as raised:
        build_run_config(run, [f"choose.{setting}"])
    assert str(raised.value).startswith(f"--set choose.{setting}: {message}")
