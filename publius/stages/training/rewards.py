"""Reward functions of PPO, RLOO and GRPO in a run, and the gold reward that monitors over-optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.digests import file_digest
from core.errors import ConfigError, NothingToLearnError, RunStateError
from core.rewards import Reward
from engines.adapter import SETTINGS as ADAPTER
from engines.adapter import adapter_digest
from engines.config import ModelConfig
from engines.judge.engine import ProbeEngine
from engines.judge.settings import holds_judge
from engines.loading import locate
from engines.protocols import takes_questions
from engines.reward_settings import read_reward_settings
from labelers.config import further_templates
from labelers.modes.table import require_yes_or_no
from labelers.rewards import (
    CheckReward,
    LabelerReward,
    ModelReward,
    load_function_reward,
)
from publius.config.run_file import CHECKS, LABELER_REWARD, REWARD_MODEL
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.runs.parts.trained import base_of
from publius.stages.base import COMMANDS
from publius.stages.judges.trained import judged_constitution, require_templates_of_judge
from training.rl.config import RLConfig
from training.rl.task import CriticOrigin

_ACCEPTED = "reward, checks, labeler, the folder of a reward model or judge, or file.py:function"


@dataclass(frozen=True)
class NamedReward:
    """A reward named in the run file, ready to use."""

    reward: Reward
    weight: float
    identity: str
    """Distinguishes it from other rewards of the same name."""


def rewards_of(run: Run, engines: Engines, config: RLConfig) -> list[NamedReward]:
    """Return the rewards in a method's `rewards`, or the default ones of the run.

    Raises:
        ConfigError: if a name is unknown, or `rewards` is empty and the run has no default reward.
        RunStateError: if the reward model is not trained yet.
    """
    where = f"{config.method}.rewards"
    named = config.rewards or _default(run, config)
    found = [_reward(run, engines, name, weight, where) for name, weight in named.items()]
    names = [entry.reward.name for entry in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"two rewards have the same name: {', '.join(sorted(twice))}", where=where)
    return found


def gold_of(run: Run, engines: Engines, config: RLConfig) -> NamedReward | None:
    """Return the gold reward of a method, or None. Raises ConfigError if it is also a training reward."""
    name, where = config.gold, f"{config.method}.gold"
    if name is None:
        return None
    if name in (config.rewards or _default(run, config)):
        raise ConfigError(
            f"{name} is a training reward, so it cannot reveal reward hacking",
            where=where,
            accepted=_ACCEPTED,
        )
    return _reward(run, engines, name, 1.0, where)


def critic_origin(run: Run, policy: ModelConfig) -> CriticOrigin | None:
    """Return the reward model that a separate critic starts from, or None for initial values of 0.

    Args:
        run: the run.
        policy: the model in training, whose weights the reward model's adapter must be for.

    Raises:
        ConfigError: if `ppo.critic_init` is `reward`, and the run has no adapter of a reward model for it.
    """
    config, folder = run.config.ppo, run.folder / REWARD_MODEL
    weight = (config.rewards or _default(run, config)).get(REWARD_MODEL)
    settings = read_reward_settings(folder)
    member = (folder / settings.members[0]).resolve()
    is_there = (member / ADAPTER).exists() and base_of(member, run.config.models.policy).id == policy.id
    if config.critic_init == "reward" and not is_there:
        raise ConfigError(
            "the run has no adapter of a reward model for the critic to start from",
            where="ppo.critic_init",
            accepted="auto or zero; or train: [..., reward, ppo] with reward.finetuning=lora",
        )
    wanted = config.critic_init == "reward" or (config.critic_init == "auto" and weight is not None)
    if not wanted or not is_there or config.critic == "shared":
        return None
    return CriticOrigin(member, settings.mean, (1.0 if weight is None else weight) / settings.std)


def _default(run: Run, config: RLConfig) -> dict[str, float]:
    if "reward" in run.config.train:
        return {REWARD_MODEL: 1.0}
    if any(principle.check is not None for principle in run.constitution.steering):
        return {CHECKS: 1.0}
    raise ConfigError(
        "no reward to optimise: the run trains no reward model and no principle has a machine check",
        where=f"{config.method}.rewards",
        accepted=_ACCEPTED,
    )


def _reward(run: Run, engines: Engines, name: str, weight: float, where: str) -> NamedReward:
    if name == CHECKS:
        if all(principle.check is None for principle in run.constitution.steering):
            raise ConfigError("no principle has a machine check", where=where, accepted=_ACCEPTED)
        return NamedReward(CheckReward(run.constitution), weight, run.constitution.digest)
    if name == LABELER_REWARD:
        return _labeler(run, engines, weight, where)
    if ":" in name and name.partition(":")[0].endswith(".py"):
        path = Path(name.rpartition(":")[0])
        reward = load_function_reward(name, where)
        return NamedReward(reward, weight, file_digest(path))
    return _model(run, name, weight, where)


def _model(run: Run, name: str, weight: float, where: str) -> NamedReward:
    """Return the run's own reward model, or one from another folder."""
    own = name == REWARD_MODEL
    folder = run.folder / REWARD_MODEL if own else Path(name).expanduser()
    is_missing = own and not (folder / "reward.json").exists()
    if is_missing and run.advice_of(REWARD_MODEL) is not None:
        raise NothingToLearnError(f"{where} names the reward model, which had nothing to learn from")
    if is_missing:
        raise RunStateError(
            "the reward model is not trained yet", where=str(folder), run=f"{COMMANDS['reward']} RUN.yaml"
        )
    if not folder.is_dir():
        raise ConfigError(f"unknown reward {name!r}", where=where, accepted=_ACCEPTED)
    if holds_judge(folder):
        return _judge(run, folder, weight, where)
    settings = read_reward_settings(folder)
    members = [folder / member for member in settings.members]
    if (members[0] / ADAPTER).exists():
        digests = [adapter_digest(member) for member in members]
    else:
        digests = [locate(ModelConfig(id=str(folder))).identity]
    reward = _model_reward(run, folder, own=own)
    return NamedReward(reward, weight, f"{settings.model_dump_json()} {' '.join(digests)}")


def reward_model_of(run: Run) -> ModelReward:
    """Return the run's own reward model, which is trained."""
    return _model_reward(run, run.folder / REWARD_MODEL, own=True)


def _model_reward(run: Run, folder: Path, *, own: bool) -> ModelReward:
    member = folder / read_reward_settings(folder).members[0]
    base = base_of(member, run.config.models.policy) if own else None
    return ModelReward(folder, folder.name, run.config.engine.device, base, run.config.optim.max_length)


def _judge(run: Run, folder: Path, weight: float, where: str) -> NamedReward:
    """Return the reward of a trained judge: its probability that an answer fulfils the principles."""
    _require_principles(run, where)
    # A trained judge has one question, whatever else the labeler is asked.
    config = run.config.label.model_copy(update={"polarity": "fulfils"})
    limit = conversations(run.config.engine)
    require_templates_of_judge(folder, run.templates)
    engine = ProbeEngine(folder, run.config.engine.device)
    constitution = judged_constitution(run.constitution, folder)
    reward = LabelerReward(constitution, run.templates, config, engine, run.config.seed, limit, folder.name)
    return NamedReward(reward, weight, f"{engine.identity} {config.principles} {run.constitution.digest}")


def _require_principles(run: Run, where: str) -> None:
    """Raise ConfigError if a labeler has no principle to judge by."""
    if not run.config.label.principles or all(p.check is not None for p in run.constitution.steering):
        raise ConfigError(
            "the labeler has no principle to judge by",
            where=where,
            accepted="label.principles above 0, and a principle without a machine check",
        )


def _labeler(run: Run, engines: Engines, weight: float, where: str) -> NamedReward:
    _require_principles(run, where)
    config = run.config.label
    engine = engines.of("labeler")
    require_yes_or_no(engine, run.templates, config)
    constitution = judged_constitution(run.constitution, Path(run.config.models.of("labeler").id))
    reward = LabelerReward(
        constitution, run.templates, config, engine, run.config.seed, conversations(run.config.engine)
    )
    text = run.templates.digest_of("pointwise")
    if takes_questions(engine):
        text = run.templates.decisions.digest_of("decision_reply", "decision_question")
    if further := further_templates(config, typed=takes_questions(engine)):
        text = f"{text} {run.templates.judging.digest_of(*further)}"
    asks = (config.principles, config.min_answer_mass, text)
    return NamedReward(reward, weight, f"{engine.identity} {asks} {run.constitution.digest}")
