"""The labelers' section: defaults and limits."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from labelers.config import LabelConfig, in_mode


def test_defaults_are_those_of_the_plan():
    config = LabelConfig()
    assert (config.mode, config.order_average, config.principles) == ("choice", "logit", 4)
    assert (config.min_answer_mass, config.near_duplicate, config.check_confidence) == (0.5, 0.9, 0.95)


@pytest.mark.parametrize(
    "section",
    [
        {"principles": -1},
        {"principles": 65},
        {"principles": "every"},
        {"min_answer_mass": 1.1},
        {"near_duplicate": 0.0},  # every two answers would be near duplicates
        {"check_confidence": 0.5},  # a check would say nothing
        {"check_confidence": 1.0},  # its log-odds would be infinite
        {"mode": "essay"},
        {"order_average": "probability"},
        {"principle": 4},
    ],
)
def test_what_labelers_cannot_use_is_refused(section):
    with pytest.raises(ValidationError):
        LabelConfig.model_validate(section)


def test_ends_of_the_ranges_are_accepted():
    LabelConfig(principles=0, min_answer_mass=0.0, near_duplicate=1.0)
    LabelConfig(principles=64, min_answer_mass=1.0)
    LabelConfig(principles="all")


def test_every_field_explains_itself():
    assert [name for name, field in LabelConfig.model_fields.items() if not field.description] == []


def test_another_mode_has_no_settings_that_only_the_first_one_reads():
    both = LabelConfig.model_validate({"mode": "pointwise", "polarity": "both", "min_answer_mass": 0.2})
    assert in_mode(both, "choice") == LabelConfig(min_answer_mass=0.2)
    assert in_mode(both, "pointwise") == both
    graded = LabelConfig.model_validate(
        {"mode": "rubric", "rating_points": 7, "verdict": {"max_new_tokens": 9}}
    )
    assert in_mode(graded, "rating") == LabelConfig(mode="rating", rating_points=7)
