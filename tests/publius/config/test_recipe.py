"""Recipes give the values that a run file does not set."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.errors import ConfigError
from publius.config.recipe import recipe_names, recipe_values, with_recipe
from publius.config.run_file import RunConfig, load_run_config
from publius.runs.inputs import decisive_settings

RUN = "constitution: plain-and-brief\nprompts: prompts.jsonl\nmodels: {policy: some-model}\n"


def load(folder: Path, more: str, *overrides: str) -> RunConfig:
    (folder / "run.yaml").write_text(RUN + more)
    return load_run_config(folder / "run.yaml", overrides)


@pytest.mark.parametrize("name", recipe_names())
def test_every_value_of_a_recipe_is_in_the_configuration(name: str, tmp_path: Path):
    config = load(tmp_path, f"recipe: {name}\n").model_dump(mode="json", by_alias=True)
    for section, values in recipe_values(name).items():
        found = config[section]
        if isinstance(values, dict):
            assert {key: _part(values[key], found[key]) for key in values} == values
        else:
            assert found == values


def _part(wanted: object, found: object) -> object:
    """Return the part of a found value that the recipe sets."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: found[key] for key in wanted}
    return found


def test_own_values_take_precedence_value_by_value(tmp_path: Path):
    config = load(tmp_path, "recipe: compliance\ndpo: {beta: 0.25}\nlora: {r: 4}\n")
    assert (config.dpo.beta, config.lora.r) == (0.25, 4)
    assert config.dpo.learning_rate == recipe_values("compliance")["dpo"]["learning_rate"]
    assert config.lora.alpha == recipe_values("compliance")["lora"]["alpha"]


def test_a_list_and_the_other_name_of_a_field_replace_those_of_the_recipe(tmp_path: Path):
    more = "recipe: compliance\ntrain: [sft]\ncompare: {source: base, pairs: all}\n"
    config = load(tmp_path, more)
    assert (config.train, config.compare.source, config.compare.pairs) == (("sft",), "base", "all")


def test_overrides_take_precedence_and_may_name_the_recipe(tmp_path: Path):
    config = load(tmp_path, "", "recipe=compliance", "dpo.epochs=3")
    assert config.dpo.epochs == 3
    assert config.train == tuple(recipe_values("compliance")["train"])


def test_override_that_needs_a_value_of_the_recipe_is_not_refused(tmp_path: Path):
    assert load(tmp_path, "recipe: compliance\n", "dpo.init=sft").dpo.init == "sft"


def test_unknown_recipe_is_one_line_with_its_place_and_the_names(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "recipe: compliant\n")
    (problem,) = caught.value.problems
    assert str(problem).endswith("run.yaml:4:9: unknown recipe 'compliant'; accepted: compliance")


def test_the_same_values_without_the_recipe_are_the_same_run(tmp_path: Path):
    named = load(tmp_path, "recipe: compliance\ntime: {minutes: 15, reserve: 3}\n")
    written = load(tmp_path, yaml.safe_dump(recipe_values("compliance")))
    assert decisive_settings(named) == decisive_settings(written)


def test_a_run_without_a_recipe_is_as_before(tmp_path: Path):
    settings = decisive_settings(load(tmp_path, ""))
    assert not {"recipe", "time"} & settings.keys()


@pytest.mark.parametrize("value", ["text", None, 3, ["a"], {"recipe": ["compliance"]}])
def test_value_of_another_form_is_left_to_the_validation(value: object):
    assert with_recipe(value) == value


@pytest.mark.parametrize("method", ["distill", "ppo"])
def test_a_method_without_comparisons_needs_no_sft(method: str, tmp_path: Path):
    assert load(tmp_path, f"recipe: compliance\ntrain: [{method}]\n").train == (method,)
