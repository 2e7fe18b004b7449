"""PPO as a stage of a run: which rewards it takes, where it starts, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import ConfigError, RunStateError
from publius.config.run_file import load_run_config
from publius.runs.manifest import read_manifest
from publius.stages.runner import RunRequest, execute, planned_stages
from tests.publius.invoking import here
from tests.publius.trainable import roomy, write_trainable

PPO = (
    "ppo.steps=2",
    "ppo.rollouts=8",
    "ppo.minibatch=8",
    "ppo.max_new_tokens=12",
    "ppo.learning_rate=0.02",
    "ppo.stop_kl=null",
)


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_ppo_alone_needs_neither_answers_nor_labels_and_is_evaluated(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[ppo]")
    assert planned_stages(load_run_config(run_file)) == ("ppo", "eval")
    outcome = execute(RunRequest(run_file, PPO))
    folder = outcome.folder / "ppo"
    first, second = rows_of(folder)
    assert first["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    assert "rewards/checks/mean" in second
    card = (folder / "README.md").read_text()
    assert "against rewards, with a penalty on KL divergence (PPO)" in card
    assert "1 x checks" in card
    measured = json.loads((outcome.folder / "eval" / "metrics.json").read_text())
    assert "ppo" in json.dumps(measured)
    assert read_manifest(outcome.folder)["stages"].keys() == {"prompts", "ppo", "eval"}
    again = execute(RunRequest(run_file, PPO, ("ppo",)))
    assert again.folder == outcome.folder
    assert rows_of(folder) == [first, second]


def test_ppo_starts_from_sft_takes_the_reward_model_and_gives_it_to_the_critic(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[sft, reward, ppo]", source="revisions")
    settings = (*PPO, "ppo.gold=checks", "ppo.eval_every=1", "ppo.held_out=0.2", "optim.epochs=1")
    outcome = execute(RunRequest(run_file, settings))
    rows = rows_of(outcome.folder / "ppo")
    steps = [row for row in rows if "objective/kl" in row]
    assert steps[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    assert "rewards/reward/mean" in steps[0]
    assert steps[0]["critic/explained_variance"] != 0.0  # a critic of zeros explains nothing
    assert [row["step"] for row in rows if "eval/gold" in row] == [0, 1, 2]


def test_a_function_of_the_users_and_checks_are_weighed(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[ppo]")
    own = tmp_path / "own.py"
    own.write_text(
        "def short(prompts, completions):\n    return [-len(c[-1]['content']) for c in completions]\n"
    )
    rewards = "ppo.rewards={checks: 2.0, 'own.py:short': 0.01}"  # beside the run file
    outcome = execute(RunRequest(run_file, (*PPO, rewards), ("ppo",)))
    row = rows_of(outcome.folder / "ppo")[0]
    expected = 2 * row["rewards/checks/mean"] + 0.01 * row["rewards/short/mean"]
    assert row["objective/scores"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["ppo.rewards={nothing: 1.0}"],
            "ppo.rewards: unknown reward 'nothing'; accepted: reward, checks, labeler",
        ),
        (["ppo.gold=checks"], "ppo.gold: checks is a training reward"),
        (["ppo.rewards={labeler: 1.0}"], "the labeler has no principle to judge by"),
        (["ppo.critic_init=reward"], "ppo.critic_init: the run has no adapter of a reward model"),
        (["ppo.rewards={'/none.py:f': 1.0}"], "ppo.rewards: Python file not found: '/none.py'"),
    ],
)
def test_rewards_that_are_not_there_are_one_clear_line(
    settings: list[str], message: str, model: Path, tmp_path: Path
):
    run_file = write_trainable(tmp_path, model, train="[ppo]")
    with pytest.raises(ConfigError) as caught:
        execute(RunRequest(run_file, (*PPO, *settings), ("ppo",)))
    assert message in str(caught.value)


def test_what_is_not_trained_yet_is_told_with_the_command(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[sft, reward, dpo, ppo]")
    with pytest.raises(RunStateError, match=r"starts from the SFT model.*publius train sft RUN.yaml"):
        execute(RunRequest(run_file, PPO, ("ppo",)))
    with pytest.raises(RunStateError, match=r"starts from the DPO model.*publius train dpo RUN.yaml"):
        execute(RunRequest(run_file, (*PPO, "ppo.init=dpo"), ("ppo",)))
    with pytest.raises(RunStateError, match=r"reward model is not trained yet; run: publius train reward"):
        execute(RunRequest(run_file, (*PPO, "ppo.init=base"), ("ppo",)))


def test_a_start_that_the_run_does_not_train_is_refused(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[ppo]")
    with pytest.raises(ConfigError, match=r"ppo\.init is dpo, but train does not list dpo"):
        execute(RunRequest(run_file, ("ppo.init=dpo",)))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (("ppo.samples=3",), "samples (3) must divide rollouts (256)"),
        (("ppo.critic_warmup=200",), "critic_warmup (200) must be less than steps (200)"),
        (("ppo.kl_target=20",), "kl_target (20) must be less than stop_kl (15)"),
        (("ppo.critic=shared", "ppo.critic_init=reward"), "a shared critic uses the policy's hidden states"),
        (("ppo.ema=0.9", "ppo.keep=best"), "keep: best cannot be combined with ema"),
        (("ppo.rewards={checks: .nan}",), "ppo.rewards"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(
    setting: tuple[str, ...], message: str, model: Path, tmp_path: Path
):
    run_file = write_trainable(tmp_path, model, train="[ppo]")
    with pytest.raises(ConfigError) as caught:
        load_run_config(run_file, setting)
    assert message in str(caught.value)


def test_the_command_wants_a_run_file():
    done = here("train", "ppo", "--data", "x.jsonl")
    assert done.returncode == 2
