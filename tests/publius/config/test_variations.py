"""`--vary`: how its values are read, and the names of the runs."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from publius.config.variations import Combination, combinations_of, read_variations


def test_values_are_those_of_a_yaml_list():
    (found,) = read_variations(['a.b=1,2.5,text, "with, comma",[sft,dpo],true'])
    assert (found.key, found.values) == ("a.b", (1, 2.5, "text", "with, comma", ["sft", "dpo"], True))


def test_an_address_is_one_value():
    (found,) = read_variations(["engine.url=http://localhost:8000,http://localhost:8001"])
    assert found.values == ("http://localhost:8000", "http://localhost:8001")


def test_all_combinations_with_the_last_setting_fastest():
    found = combinations_of(read_variations(["constitution=a.yaml,b.yaml", "seed=0,1"]))
    assert [str(one) for one in found] == [
        "constitution=a.yaml seed=0",
        "constitution=a.yaml seed=1",
        "constitution=b.yaml seed=0",
        "constitution=b.yaml seed=1",
    ]
    assert found[3].overrides() == ('constitution="b.yaml"', "seed=1")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"constitution": "rules/terse.yaml", "seed": 1}, "demo-terse-seed1"),
        ({"models.policy": "Qwen/Qwen3-0.6B"}, "demo-Qwen3-0.6B"),
        ({"dpo.beta": 0.1, "sft.beta": 2}, "demo-dpo.beta0.1-sft.beta2"),
        ({"train": ["sft", "dpo"], "eval.kl": False}, "demo-train-sft-dpo-kl-false"),
        ({"constitution": "x" * 80}, "demo-" + "x" * 59),
    ],
)
def test_names_of_runs(settings: dict[str, object], name: str):
    assert Combination(tuple(settings.items())).name("demo") == name


@pytest.mark.parametrize(
    ("vary", "given", "message"),
    [
        (["seed"], [], "found 'seed'"),
        (["seed="], [], "found 'seed='"),
        (["=1,2"], [], "found '=1,2'"),
        (["seed=[1"], [], "--vary seed:1:"),
        (["seed=1", "seed=2"], [], "seed is also given by --vary seed=1"),
        (["seed=1,2"], ["seed=3"], "seed is also given by --set seed=3"),
    ],
)
def test_mistakes(vary: list[str], given: list[str], message: str):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        read_variations(vary, given)
