"""The help of the training commands explains every setting that `--set` takes."""

from __future__ import annotations

import pytest

from publius.commands.settings_help import settings_of, stage_settings
from publius.config.overrides import build_config
from publius.config.run_file import RunConfig
from tests.publius.invoking import here
from training.methods import METHODS, ON_POLICY_METHODS, Method

IGNORED = {f"optim.{key}" for key in ("batch_size", "epochs", "eval_every", "keep", "patience")}
"""Settings that have no effect on methods that draw their own answers."""
GIVEN = {"constitution": "c.yaml", "prompts": "p.jsonl", "models": {"policy": "x"}}


@pytest.mark.parametrize("method", METHODS)
def test_help_names_each_setting_with_its_default_and_meaning(method: Method):
    done = here("train", method, "--help")
    assert done.returncode == 0
    told = "".join(done.stdout.split())
    rows = list(settings_of(method))
    keys = {row.partition("=")[0] for row, _ in rows}
    for section in (method, "optim", "lora"):
        fields = type(RunConfig.model_fields[section].default).model_fields
        expected = {f"{section}.{field.alias or key}" for key, field in fields.items()}
        assert expected - keys == (IGNORED if method in ON_POLICY_METHODS and section == "optim" else set())
    assert {"seed", "engine.device", "models.policy.dtype"} <= keys
    for setting, meaning in rows:
        assert meaning
        assert setting + "".join(meaning.split()) in told


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (
            "run",
            {"seed", "prompts.limit", "split.test", "engine.kind", "models.policy.id", "gates.METRIC.level"},
        ),
        ("critique", {"critique.rounds", "critique.draft.temperature"}),
        ("sample", {"sample.draws"}),
        ("compare", {"compare.from"}),
        ("label", {"label.principles", "label.rules[N].mix"}),
        ("eval", {"eval.kl", "gates"}),
    ],
)
def test_the_help_of_a_stage_lists_its_settings(command: str, keys: set[str]):
    rows = list(stage_settings(command))
    assert keys <= {setting.partition("=")[0] for setting, _ in rows}
    told = "".join(here(command, "--help").stdout.split())
    for setting, meaning in rows:
        assert "".join((setting + meaning).split()) in told


@pytest.mark.parametrize("method", METHODS)
def test_defaults_in_the_help_are_what_set_takes_for_no_change(method: Method):
    settings = [setting for setting, _ in settings_of(method)]
    assert build_config(RunConfig, GIVEN, settings) == build_config(RunConfig, GIVEN)


def test_what_is_on_by_default_is_switched_off_by_null():
    config = build_config(RunConfig, GIVEN, ["dpo.chosen_fall=null", "optim.stop_grad_norm=~"])
    assert (config.dpo.chosen_fall, config.optim.stop_grad_norm) == (None, None)


def test_choices_are_listed():
    rows = dict(settings_of("dpo"))
    assert rows["dpo.loss=sigmoid"].endswith("One of: sigmoid, ipo, robust.")
    assert rows["optim.report_to=[]"].endswith("One of: tensorboard, wandb, trackio.")
    assert "One of" not in rows["dpo.beta=0.1"]


def test_first_lines_of_the_commands_fit_in_80_columns():
    commands = here("--help").stdout.partition("Rules:")[2]
    assert "eval-reward" in commands
    assert "..." not in commands
