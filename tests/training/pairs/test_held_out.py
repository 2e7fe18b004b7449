"""Evaluation while training: when, what it says, which weights are kept, when it ends, and after a kill."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from core.errors import ConfigError
from engines.adapter import SETTINGS, WEIGHTS
from engines.config import ModelConfig
from engines.hf.reward_model import load_reward_model
from tests import forked
from tests.training.jobs import BY_EXAMPLES, SMALL, answered, job, pairs
from training import fit
from training.checkpoints import TrainingFolder
from training.config import DPOConfig, OptimConfig, RewardConfig
from training.examples import AnsweredPrompt, PreferencePair, encode_answer, encode_pair
from training.history import NONDETERMINISTIC
from training.job import TrainingJob, TrainingResult
from training.logprobs import answer_logprobs, collate
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.losses import centering_loss, soft_reward_loss
from training.pairs.reward import train_reward
from training.policy import load_encoder, load_policy
from training.sft import train_sft

RISING: dict[str, float] = {"sft": 1e-2, "reward": 2e-3, "dpo": 2e-3}
"""Learning rates at which the held-out loss of the jobs here falls first and rises later."""
STEPS = 12
SLOWER = (pytest.param("sft", marks=pytest.mark.slow), pytest.param("dpo", marks=pytest.mark.slow))
"""What shares its code with the reward model's training, but for the trainer and the reference."""


def optim(**options: Any) -> OptimConfig:
    """Settings under which the learning rate is the same at every step, however many there are."""
    defaults = {"batch_size": 4, "micro_batch": 2, "micro_tokens": 300, "max_length": 128}
    constant = {"schedule": "constant", "warmup": 0.0, "checkpoint_every": 100}
    return OptimConfig(**{**defaults, **constant, **options})


def unseen_pairs() -> list[PreferencePair]:
    """Those that are trained on, with labels that are less sure: the loss is lowest on the way there."""
    return [replace(pair, id=f"unseen-{pair.id}", p_chosen=0.7) for pair in pairs(4)]


def unseen_answers() -> list[AnsweredPrompt]:
    return [replace(row, id=f"unseen-{row.id}", answer="no " * 4) for row in answered(4)]


def the_job(method: Method, folder: Path, model: Path, epochs: float = 4.0, **options: Any) -> TrainingJob:
    own = job(method, folder, str(model), optim=optim(**options), learning_rate=RISING[method])
    return replace(own, epochs=epochs)


def run(own: TrainingJob, *, held_out: bool = True) -> TrainingResult:
    """Train on twelve examples, in steps of four."""
    if own.method == "sft":
        return train_sft(answered(), own, unseen_answers() if held_out else ())
    unseen = unseen_pairs() if held_out else ()
    if own.method == "reward":
        return train_reward(pairs(p=1.0), own, RewardConfig(), unseen)[0]
    return train_dpo(pairs(p=1.0), own, DPOConfig(), unseen)


def rows_of(folder: Path, name: str) -> list[dict[str, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if name in row]


def held_out_losses(folder: Path) -> dict[int, float]:
    return {int(row["step"]): row["eval_loss"] for row in rows_of(folder, "eval_loss")}


def weights_of(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


# When, and what it says


@pytest.mark.parametrize(
    ("method", "every", "steps"),
    [("sft", 2, [2, 4, 6]), ("dpo", 4, [4, 6]), ("reward", 4, [4, 6]), ("reward", 100, [6])],
)
def test_held_out_loss_is_logged_at_its_steps_and_at_the_last(
    tiny_folder: Path, tmp_path: Path, method: Method, every: int, steps: list[int]
):
    result = run(the_job(method, tmp_path, tiny_folder, epochs=2.0, eval_every=every))
    assert list(held_out_losses(tmp_path)) == steps
    assert [row["step"] for row in rows_of(tmp_path, "loss")] == [1, 2, 3, 4, 5, 6]
    assert result.held_out == 4
    assert result.metrics["eval_loss"] == held_out_losses(tmp_path)[6]
    assert result.metrics["loss"] == rows_of(tmp_path, "loss")[-1]["loss"]
    assert not NONDETERMINISTIC & result.metrics.keys()
    assert all(not NONDETERMINISTIC & row.keys() for row in rows_of(tmp_path, "step"))


@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_without_eval_every_held_out_examples_are_looked_at_once_at_the_end(
    tiny_folder: Path, tmp_path: Path, method: Method
):
    result = run(the_job(method, tmp_path / "once", tiny_folder, epochs=1.0))
    assert list(held_out_losses(tmp_path / "once")) == [3]
    assert result.held_out == 4
    assert result.metrics["eval_loss"] == held_out_losses(tmp_path / "once")[3]
    run(the_job(method, tmp_path / "without", tiny_folder, epochs=1.0), held_out=False)
    assert held_out_losses(tmp_path / "without") == {}
    assert weights_of(tmp_path / "once") == weights_of(tmp_path / "without")


def test_held_out_loss_of_a_reward_model_is_its_loss_on_held_out_pairs(tiny_folder: Path, tmp_path: Path):
    own = the_job("reward", tmp_path, tiny_folder, epochs=1.0, eval_every=100)
    own = replace(own, lora=SMALL.model_copy(update={"dropout": 0.5}))  # which is off while it is measured
    weights = [1.0, 0.5, 2.0, 0.0]
    unseen = [replace(pair, weight=w, margin=0.3) for pair, w in zip(unseen_pairs(), weights, strict=True)]
    train_reward(pairs(p=1.0), own, RewardConfig(center=0.1), unseen)
    model = load_reward_model(tmp_path, "cpu")
    trees = [encode_pair(model.encoder, pair).tree for pair in unseen]
    chosen, rejected = torch.tensor(model.scores(trees)).view(-1, 2).unbind(dim=1)
    label, margin = torch.full((4,), 0.7), torch.full((4,), 0.3)
    losses = soft_reward_loss(chosen, rejected, label, margin) + 0.1 * centering_loss(chosen, rejected)
    (found,) = rows_of(tmp_path, "eval_loss")
    assert found["eval_loss"] == pytest.approx((losses * torch.tensor(weights)).mean().item(), rel=1e-5)
    assert found["eval_margin"] == pytest.approx((chosen - rejected).mean().item(), rel=1e-5)


def test_held_out_loss_of_dpo_is_log_two_where_nothing_is_learned(tiny_folder: Path, tmp_path: Path):
    # Held-out pairs have a reference too: without one, the ratio would be their whole log-probability.
    own = replace(the_job("dpo", tmp_path, tiny_folder, epochs=1.0, eval_every=1), learning_rate=1e-12)
    run(own)
    losses = held_out_losses(tmp_path)
    assert losses == pytest.approx(dict.fromkeys((1, 2, 3), math.log(2)), abs=1e-5)
    assert rows_of(tmp_path, "eval_loss")[-1]["eval_logps/chosen"] < -10


def test_held_out_loss_of_sft_is_that_of_the_answers_tokens(tiny_folder: Path, tmp_path: Path):
    run(the_job("sft", tmp_path, tiny_folder, epochs=1.0, eval_every=100, micro_batch=4))
    model = ModelConfig(id=str(tiny_folder))
    policy: Any = load_policy(model, SMALL, "cpu", 0, tmp_path)
    encoder = load_encoder(model)
    rows = [encode_answer(encoder, row.prompt, row.answer) for row in unseen_answers()]
    with torch.no_grad():
        total = answer_logprobs(policy, collate(rows)).sum().item()
    expected = -total / sum(len(row.answer_ids) for row in rows)
    assert held_out_losses(tmp_path)[3] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", [*SLOWER, "reward"])
def test_looking_does_not_change_what_is_learned(tiny_folder: Path, tmp_path: Path, method: Method):
    run(the_job(method, tmp_path / "looks", tiny_folder, epochs=1.0, eval_every=1))
    run(the_job(method, tmp_path / "does not", tiny_folder, epochs=1.0))
    assert weights_of(tmp_path / "looks") == weights_of(tmp_path / "does not")


def test_what_cannot_be_used_of_held_out_pairs_is_counted_with_the_rest(tiny_folder: Path, tmp_path: Path):
    long = replace(pairs(1)[0], id="long", rejected="word " * 200)
    own = the_job("reward", tmp_path, tiny_folder, epochs=1.0, eval_every=1)
    result = train_reward(pairs(4), own, RewardConfig(), [*unseen_pairs(), long])[0]
    assert (result.examples, result.held_out) == (4, 4)
    assert [(row.id, row.reason) for row in result.excluded] == [("long", "longer than optim.max_length")]


@pytest.mark.parametrize("method", [*SLOWER, "reward"])
def test_other_held_out_examples_are_another_training(tiny_folder: Path, tmp_path: Path, method: Method):
    own = the_job(method, tmp_path, tiny_folder, epochs=1.0)
    assert run(own).seconds > 0
    assert run(own).seconds == 0
    assert run(own, held_out=False).seconds > 0


# Without anything to look at


@pytest.mark.parametrize("method", BY_EXAMPLES)
def test_evaluating_on_nothing_is_one_clear_line(tiny_folder: Path, tmp_path: Path, method: Method):
    own = the_job(method, tmp_path / method, tiny_folder, eval_every=2)
    with pytest.raises(ConfigError, match="no held-out examples to evaluate on") as caught:
        run(own, held_out=False)
    assert "optim.eval_every" in str(caught.value)
    assert f"{method}.held_out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / method).exists()


def test_held_out_pairs_of_which_none_can_be_used_are_nothing(tiny_folder: Path, tmp_path: Path):
    long = [replace(pair, rejected="word " * 200) for pair in pairs(2)]
    own = the_job("reward", tmp_path, tiny_folder, eval_every=2)
    with pytest.raises(ConfigError, match="no held-out examples to evaluate on"):
        train_reward(pairs(4), own, RewardConfig(), long)


@pytest.mark.parametrize("options", [{"keep": "best"}, {"patience": 2}])
def test_what_goes_by_the_held_out_loss_needs_evaluations(options: dict[str, Any]):
    with pytest.raises(ValidationError, match="set eval_every"):
        OptimConfig(**options)
    assert OptimConfig(eval_every=5, **options).eval_every == 5


# Which weights are kept


@pytest.mark.parametrize("method", [*SLOWER, "reward"])
def test_the_best_weights_are_those_of_a_training_that_ends_at_the_best_step(
    tiny_folder: Path, tmp_path: Path, method: Method
):
    result = run(the_job(method, tmp_path / "best", tiny_folder, eval_every=1, keep="best"))
    losses = held_out_losses(tmp_path / "best")
    best = min(losses, key=lambda step: losses[step])
    assert 1 < best < STEPS  # the loss falls first, and rises later
    assert (result.steps, result.best_step) == (STEPS, best)
    stopped = run(the_job(method, tmp_path / "stopped", tiny_folder, epochs=best / 3))
    assert stopped.steps == best
    assert weights_of(tmp_path / "best") == weights_of(tmp_path / "stopped")
    last = run(the_job(method, tmp_path / "last", tiny_folder, eval_every=1))
    assert last.best_step is None
    assert held_out_losses(tmp_path / "last") == losses
    assert weights_of(tmp_path / "last") != weights_of(tmp_path / "best")


def test_the_kept_weights_have_the_loss_that_was_logged_at_their_step(tiny_folder: Path, tmp_path: Path):
    result = run(the_job("reward", tmp_path, tiny_folder, eval_every=1, keep="best"))
    model = load_reward_model(tmp_path, "cpu")
    trees = [encode_pair(model.encoder, pair).tree for pair in unseen_pairs()]
    chosen, rejected = torch.tensor(model.scores(trees)).view(-1, 2).unbind(dim=1)
    losses = soft_reward_loss(chosen, rejected, torch.full((4,), 0.7), torch.zeros(4))
    losses = losses + RewardConfig().center * centering_loss(chosen, rejected)
    assert result.best_step is not None
    logged = held_out_losses(tmp_path)[result.best_step]
    assert losses.mean().item() == pytest.approx(logged, rel=1e-5)


def test_where_the_last_step_is_the_best_its_weights_are_kept(tiny_folder: Path, tmp_path: Path):
    # Two steps, within which the held-out loss only falls.
    best = run(the_job("reward", tmp_path / "best", tiny_folder, epochs=2 / 3, eval_every=1, keep="best"))
    run(the_job("reward", tmp_path / "last", tiny_folder, epochs=2 / 3))
    losses = held_out_losses(tmp_path / "best")
    assert losses[2] < losses[1]
    assert (best.steps, best.best_step) == (2, None)
    assert weights_of(tmp_path / "best") == weights_of(tmp_path / "last")


def test_the_best_checkpoint_stands_until_the_end_beside_the_newest(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    commit = TrainingFolder.commit

    def watched(folder: TrainingFolder, step: int, keep: int | None = None) -> None:
        commit(folder, step, keep)
        seen.append((step, sorted(int(path.name[11:]) for path in folder.checkpoints.glob("checkpoint-*"))))

    monkeypatch.setattr(TrainingFolder, "commit", watched)
    result = run(the_job("reward", tmp_path, tiny_folder, eval_every=1, keep="best", checkpoint_every=1))
    best = result.best_step
    assert best is not None
    assert seen[:best] == [(step, [step]) for step in range(1, best + 1)]
    assert seen[best:] == [(step, [best, step]) for step in range(best + 1, STEPS + 1)]
    assert not (tmp_path / "checkpoints").exists()


def test_the_best_step_is_told_in_the_result_of_a_found_training(tiny_folder: Path, tmp_path: Path):
    own = the_job("reward", tmp_path, tiny_folder, eval_every=1, keep="best")
    first, second = run(own), run(own)
    assert second.seconds == 0
    assert first.best_step == second.best_step is not None
    assert json.loads((tmp_path / "training.json").read_text())["best_step"] == first.best_step


# When it ends


@pytest.mark.parametrize("keep", ["last", "best"])
def test_patience_ends_a_training_that_no_longer_improves(tiny_folder: Path, tmp_path: Path, keep: str):
    result = run(the_job("reward", tmp_path / "patient", tiny_folder, eval_every=1, patience=2, keep=keep))
    losses = held_out_losses(tmp_path / "patient")
    best = min(losses, key=lambda step: losses[step])
    assert list(losses) == list(range(1, best + 3))
    assert result.steps == best + 2 < STEPS
    assert result.best_step == (best if keep == "best" else None)
    stop = best if keep == "best" else best + 2
    run(the_job("reward", tmp_path / "stopped", tiny_folder, epochs=stop / 3))
    assert weights_of(tmp_path / "patient") == weights_of(tmp_path / "stopped")


# After a kill


class Killed(BaseException):
    """Ends a training as a signal would: nothing is written after it."""


def same_in_the_end(folder: Path, whole: Path) -> None:
    """Check that two folders hold the same training, but for how long it took."""
    for name in (WEIGHTS, SETTINGS, "metrics.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    results = [json.loads((path / "training.json").read_text()) for path in (folder, whole)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        pytest.param("sft", {"keep": "best"}, marks=pytest.mark.slow),
        pytest.param("dpo", {"keep": "best"}, marks=pytest.mark.slow),
        ("reward", {"keep": "best", "checkpoint_every": 1}),
        ("reward", {"checkpoint_every": 1}),
    ],
)
def test_killed_after_it_ended_and_before_it_was_saved_it_comes_to_the_same(
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    options: dict[str, Any],
):
    def own(name: str) -> TrainingJob:
        return the_job(method, tmp_path / name, tiny_folder, eval_every=1, patience=2, **options)

    def killed(*_: Any) -> None:
        raise Killed

    whole = run(own("whole"))
    assert whole.steps < STEPS
    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_adapter", killed)
        with pytest.raises(Killed):
            run(own("killed"))
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    assert TrainingFolder(tmp_path / "killed").newest() is not None
    resumed = run(own("killed"))
    assert (resumed.steps, resumed.best_step) == (whole.steps, whole.best_step)
    same_in_the_end(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize("method", [*SLOWER, "reward"])
def test_killed_after_any_checkpoint_it_keeps_the_same_weights(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method
):
    def own(name: str) -> TrainingJob:
        options = {"eval_every": 2, "patience": 2, "keep": "best", "checkpoint_every": 3}
        return the_job(method, tmp_path / name, tiny_folder, **options)

    whole = run(own("whole"))
    commit = TrainingFolder.commit
    kills = 0

    def deadly(folder: TrainingFolder, step: int, keep: int | None = None) -> None:
        commit(folder, step, keep)
        raise Killed

    while kills < STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(TrainingFolder, "commit", deadly)
            try:
                resumed = run(own("killed"))
                break
            except Killed:
                kills += 1
    assert kills >= 3  # it came one checkpoint further each time
    assert (resumed.steps, resumed.best_step) == (whole.steps, whole.best_step)
    same_in_the_end(tmp_path / "killed", tmp_path / "whole")


def killed_before_it_saves(threads: int, folder: Path, model: Path) -> None:
    """Train in a process of its own."""
    torch.set_num_threads(threads)  # another number might round otherwise
    fit.save_adapter = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    run(the_job("reward", folder, model, eval_every=1, patience=2, keep="best"))


@pytest.mark.slow
@pytest.mark.long  # in another process what is shown above in this one
def test_a_process_killed_before_it_saved_leaves_all_that_is_needed(tiny_folder: Path, tmp_path: Path):
    log, given = tmp_path / "log", (torch.get_num_threads(), tmp_path / "killed", tiny_folder)
    process = forked.start(killed_before_it_saves, *given, log=log)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    for name in ("killed", "whole"):
        run(the_job("reward", tmp_path / name, tiny_folder, eval_every=1, patience=2, keep="best"))
    same_in_the_end(tmp_path / "killed", tmp_path / "whole")
