"""The critique room's sections: defaults, the `from` alias, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from critique.config import CompareConfig, CritiqueConfig


def test_defaults_are_those_of_the_plan():
    config = CritiqueConfig()
    assert config.rounds == 2
    assert (config.draft.temperature, config.draft.max_new_tokens) == (1.0, 768)
    assert (config.critique.temperature, config.critique.max_new_tokens) == (0.7, 256)
    assert (config.revision.temperature, config.revision.max_new_tokens) == (0.7, 768)


def test_one_sampling_field_that_is_set_leaves_the_others_at_their_defaults():
    config = CritiqueConfig.model_validate({"critique": {"temperature": 0.0}, "revision": {"top_p": 0.9}})
    assert (config.critique.temperature, config.critique.max_new_tokens) == (0.0, 256)
    assert (config.revision.temperature, config.revision.top_p) == (0.7, 0.9)


@pytest.mark.parametrize(
    "section",
    [
        {"rounds": -1},
        {"rounds": 17},
        {"drop": ["rude"]},
        {"draft": {"temperature": -0.1}},
        {"critique": {"temperature": float("inf")}},
        {"revision": {"max_new_tokens": 0}},
        {"round": 2},
        {"candidates": 3, "revision": {"temperature": 0.0}},
    ],
)
def test_what_the_loop_cannot_use_is_refused(section):
    with pytest.raises(ValidationError):
        CritiqueConfig.model_validate(section)


def test_rounds_and_flags_may_be_none_at_all():
    config = CritiqueConfig.model_validate({"rounds": 0, "drop": []})
    assert (config.rounds, config.drop) == (0, ())


def test_source_is_written_from_in_the_file():
    assert CompareConfig.model_validate({"from": "base"}).source == "base"
    assert CompareConfig(source="base").source == "base"
    assert CompareConfig.model_validate({"from": "sft"}).source == "sft"
    assert CompareConfig().source == "revisions"


def test_source_of_answers_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="'base', 'sft', 'samples' or 'prompted'"):
        CompareConfig.model_validate({"from": "elsewhere"})


@pytest.mark.parametrize("samples", [3, 5, 63])
@pytest.mark.parametrize("source", ["base", "sft"])
def test_disjoint_pairs_of_an_odd_number_of_samples_are_refused(source: str, samples: int):
    with pytest.raises(ValidationError, match=f"samples is {samples}, but disjoint pairs require an even"):
        CompareConfig.model_validate({"from": source, "samples": samples})


@pytest.mark.parametrize(
    "section",
    [
        {"from": "base", "samples": 4},
        {"from": "base", "samples": 3, "pairs": "all"},
        {"from": "revisions", "samples": 3},  # nothing is sampled
    ],
)
def test_every_sample_finds_a_partner_in_what_is_accepted(section):
    CompareConfig.model_validate(section)


@pytest.mark.parametrize("samples", [1, 65])
def test_number_of_samples_is_bounded(samples: int):
    with pytest.raises(ValidationError):
        CompareConfig(source="base", samples=samples, pairs="all")


@pytest.mark.parametrize("section", [CritiqueConfig, CompareConfig])
def test_every_field_explains_itself(section):
    assert [name for name, field in section.model_fields.items() if not field.description] == []
