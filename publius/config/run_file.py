"""The run file: each room's own section, composed; read with positions, overrides and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from constitution.loader import preset_names
from core.records import Split
from core.settings import Section
from core.store.files import is_there
from core.text.yaml_file import read_yaml, validate
from critique.config import CompareConfig, CritiqueConfig
from engines.config import EngineConfig, ModelsConfig
from evaluation.config import EvalConfig
from labelers.config import LabelConfig
from publius.config.overrides import build_config, with_overrides
from publius.config.short_forms import expand_short_forms
from training.config import DPOConfig, LoraConfig, OptimConfig, RewardConfig, SFTConfig
from training.methods import RL_METHODS, Method, RLMethod
from training.rl.config import GRPOConfig, PPOConfig, RLConfig, RLOOConfig

_HAS_ADAPTER = (
    "models.policy wears an adapter, and training puts its own on: merge it first (publius export --model)"
)

OWN_REWARDS = (REWARD_MODEL, CHECKS, LABELER_REWARD) = ("reward", "checks", "labeler")
"""What `rewards` of PPO, RLOO and GRPO may name that a run has of its own."""


class PromptsConfig(Section):
    """Where prompts come from."""

    path: Path
    """A `.jsonl` or `.txt` file, relative to the run file."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many prompts for training, in the order of the file; test prompts are always kept."""


class SplitConfig(Section):
    """What share of the prompts that name no split goes where. The shares sum to 1."""

    train: float = Field(default=0.45, ge=0.0, le=1.0)
    """Critique and revision, and supervised training on the revisions."""
    preference: float = Field(default=0.5, ge=0.0, le=1.0)
    """Comparisons alone; where they are drafts against revisions, these prompts go through the loop too."""
    test: float = Field(default=0.05, ge=0.0, le=1.0)
    """Held out for evaluation."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.preference + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares sum to {total:g}, and must sum to 1")
        return self

    def shares(self) -> dict[Split, float]:
        """Return the share of each split."""
        return {"train": self.train, "preference": self.preference, "test": self.test}


class TrainingSections(Section):
    """What every training needs to know, of a run or on a data set."""

    lora: LoraConfig = LoraConfig()
    """The adapter that is trained."""
    optim: OptimConfig = OptimConfig()
    """What all training methods share."""
    sft: SFTConfig = SFTConfig()
    """Supervised fine-tuning."""
    reward: RewardConfig = RewardConfig()
    """The reward model."""
    dpo: DPOConfig = DPOConfig()
    """Direct preference optimization."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_forms(cls, value: object) -> object:
        return expand_short_forms(value)


class StageSections(Section):
    """What the stages before training need to know, and which trainings follow."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """First part of the run folder's name."""
    seed: int = Field(default=0, ge=0)
    """From which every random draw of the run is derived."""
    constitution: str
    """A constitution file, relative to the run file, or the name of a preset."""
    prompts: PromptsConfig
    """Where prompts come from; a bare path will do."""
    split: SplitConfig = SplitConfig()
    """Shares of the splits."""
    models: ModelsConfig
    """The models of the four roles."""
    engine: EngineConfig = EngineConfig()
    """How models are run."""
    critique: CritiqueConfig = CritiqueConfig()
    """The critique-and-revise loop."""
    compare: CompareConfig = CompareConfig()
    """Which answers are compared."""
    label: LabelConfig = LabelConfig()
    """How comparisons are judged."""
    train: tuple[Method, ...] = ()
    """What is trained: the policy by `sft` on the revisions, then `reward`, a reward model, and the policy by
    `dpo`, both on the preferences, and the policy by `ppo`, `rloo` or `grpo` against rewards."""


class RunConfig(TrainingSections, StageSections):
    """Everything that a run needs to know, as `run.yaml` states it.

    The bases stand in this order for `resolved.yaml`, which has the fields in the order of a run.
    """

    ppo: PPOConfig = PPOConfig()
    """Proximal policy optimization."""
    rloo: RLOOConfig = RLOOConfig()
    """REINFORCE, each answer measured by the others to its prompt."""
    grpo: GRPOConfig = GRPOConfig()
    """Group relative policy optimization."""
    eval: EvalConfig = EvalConfig()
    """What is measured at the end."""

    @model_validator(mode="after")
    def _trains_what_it_builds_on(self) -> Self:
        if len(set(self.train)) < len(self.train):
            raise ValueError(f"train names a method twice: {', '.join(self.train)}")
        if "sft" not in self.train:
            if self.compare.source == "sft":
                raise ValueError("compare.from is sft, but train does not name sft")
            for method in ("reward", "dpo", *RL_METHODS):
                if method in self.train and getattr(self, method).init == "sft":
                    raise ValueError(f"{method}.init is sft, but train does not name sft")
        for method in RL_METHODS:
            if method in self.train and self.rl(method).init == "dpo" and "dpo" not in self.train:
                raise ValueError(f"{method}.init is dpo, but train does not name dpo")
        if self.train and self.models.policy.adapter is not None:
            raise ValueError(_HAS_ADAPTER)
        if self.train and self.engine.kind == "scripted":
            raise ValueError("train names methods, but the scripted engine has no weights to train")
        return self

    def rl(self, method: RLMethod) -> RLConfig:
        """Return the section of a method that learns from rewards."""
        return {"ppo": self.ppo, "rloo": self.rloo, "grpo": self.grpo}[method]


class DataTrainingConfig(TrainingSections):
    """What a training on a data set of the user's own needs to know."""

    seed: int = Field(default=0, ge=0)
    """From which every random draw is derived."""
    models: ModelsConfig
    """The model to train, as policy."""
    engine: EngineConfig = EngineConfig()
    """On which device."""

    @model_validator(mode="after")
    def _trains_a_bare_model(self) -> Self:
        if self.models.policy.adapter is not None:
            raise ValueError(_HAS_ADAPTER)
        return self


def load_run_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run file as a configuration with absolute paths.

    Args:
        path: the run file.
        overrides: `a.b=value` each, with the value in YAML; they win over the file.

    Raises:
        ConfigError: for every mistake in the file or the overrides, with its place.
    """
    document = read_yaml(path)
    value = with_overrides(RunConfig, document.value, overrides)
    return _with_absolute_paths(validate(document, RunConfig, value), path.parent)


def build_run_config(value: dict[str, Any], overrides: Sequence[str] = ()) -> RunConfig:
    """Return a run's configuration made in code, with the user's overrides.

    Raises:
        ConfigError: for a mistake in an override.
    """
    return _with_absolute_paths(build_config(RunConfig, value, overrides), Path())


def _with_absolute_paths(config: RunConfig, folder: Path) -> RunConfig:
    prompts = config.prompts.model_copy(update={"path": (folder / config.prompts.path).resolve()})
    named = config.constitution
    if named not in preset_names() or is_there(folder / named):
        named = str((folder / named).resolve())
    rewarded: dict[str, RLConfig] = {
        method: _with_absolute_rewards(config.rl(method), folder) for method in RL_METHODS
    }
    humans = tuple((folder / path.expanduser()).resolve() for path in config.label.humans)
    label = config.label.model_copy(update={"humans": humans})
    changed = {"prompts": prompts, "constitution": named, "label": label, **rewarded}
    return config.model_copy(update=changed)


def _with_absolute_rewards(section: RLConfig, folder: Path) -> RLConfig:
    rewards = {_beside(folder, name): weight for name, weight in section.rewards.items()}
    gold = None if section.gold is None else _beside(folder, section.gold)
    return section.model_copy(update={"rewards": rewards, "gold": gold})


def _beside(folder: Path, name: str) -> str:
    """Return a reward's name; a path in it is relative to the run file."""
    if name in OWN_REWARDS:
        return name
    path, colon, function = name.partition(".py:")
    full = folder / Path(path + colon.rstrip(":")).expanduser()
    return f"{full.resolve()}:{function}" if colon else str(full.resolve()) if is_there(full) else name
