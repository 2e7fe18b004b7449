"""Steer a language model by editing a constitution.

`import publius` gives the library: the names in `__all__`. Each is imported from its module on first use, so
`import publius` alone does not load torch. `docs/library.md` shows how the names fit together.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from constitution.loader import load_constitution as load_constitution
    from constitution.schema import Constitution as Constitution
    from constitution.schema import Principle as Principle
    from core.errors import ConfigError as ConfigError
    from core.errors import DataError as DataError
    from core.errors import EngineError as EngineError
    from core.errors import MissingExtraError as MissingExtraError
    from core.errors import PubliusError as PubliusError
    from core.errors import RequestError as RequestError
    from core.errors import RunStateError as RunStateError
    from core.records import Answer as Answer
    from core.records import Candidate as Candidate
    from core.records import Comparison as Comparison
    from core.records import CritiqueTrace as CritiqueTrace
    from core.records import Generation as Generation
    from core.records import Judgment as Judgment
    from core.records import Message as Message
    from core.records import Metric as Metric
    from core.records import Preference as Preference
    from core.records import Prompt as Prompt
    from core.records import Sampling as Sampling
    from core.rewards import Reward as Reward
    from core.rewards import Sample as Sample
    from core.store.cache import RequestCache as RequestCache
    from critique.comparisons import draft_against_revision as draft_against_revision
    from critique.config import CritiqueConfig as CritiqueConfig
    from critique.loop import CritiqueLoop as CritiqueLoop
    from engines.cached import CachedEngine as CachedEngine
    from engines.config import EngineConfig as EngineConfig
    from engines.config import ModelConfig as ModelConfig
    from engines.hf.engine import TransformersEngine as TransformersEngine
    from engines.http.engine import HttpEngine as HttpEngine
    from engines.protocols import Engine as Engine
    from engines.scripted import ScriptedEngine as ScriptedEngine
    from engines.vllm.engine import VllmEngine as VllmEngine
    from evaluation.metrics import evaluate_answers as evaluate_answers
    from labelers.ai import AILabeler as AILabeler
    from labelers.check import check_judgments as check_judgments
    from labelers.config import LabelConfig as LabelConfig
    from labelers.crowd.aggregate import aggregate as aggregate
    from labelers.formats.opinions import Opinion as Opinion
    from labelers.formats.opinions import Pair as Pair
    from labelers.formats.source import LabelSource as LabelSource
    from labelers.formats.source import RowLabels as RowLabels
    from labelers.formats.source import RowSource as RowSource
    from publius.authoring.steering.steer import SteerRequest as SteerRequest
    from publius.authoring.steering.steer import steer as steer
    from publius.runs.reader import RunReader as RunReader
    from publius.sources.prompts import read_prompts as read_prompts
    from publius.stages.runner import RunRequest as RunRequest
    from publius.stages.runner import execute as run  # noqa: F401
    from publius.stages.training.distill import taught_prompts as taught_prompts
    from training.config import DPOConfig as DPOConfig
    from training.config import LoraConfig as LoraConfig
    from training.config import OptimConfig as OptimConfig
    from training.config import RewardConfig as RewardConfig
    from training.config import SFTConfig as SFTConfig
    from training.distill.config import DistillConfig as DistillConfig
    from training.distill.task import TaughtPrompt as TaughtPrompt
    from training.distill.train import train_distill as train_distill
    from training.examples import AnsweredPrompt as AnsweredPrompt
    from training.examples import PreferencePair as PreferencePair
    from training.job import TrainingJob as TrainingJob
    from training.pairs.dpo import train_dpo as train_dpo
    from training.pairs.reward import train_reward as train_reward
    from training.rl.config import GRPOConfig as GRPOConfig
    from training.rl.config import PPOConfig as PPOConfig
    from training.rl.config import RLOOConfig as RLOOConfig
    from training.rl.reward_sum import WeightedReward as WeightedReward
    from training.rl.task import RLTask as RLTask
    from training.rl.train import train_grpo as train_grpo
    from training.rl.train import train_ppo as train_ppo
    from training.rl.train import train_rloo as train_rloo
    from training.sft import train_sft as train_sft

_MODULE_OF = {
    "aggregate": "labelers.crowd.aggregate",
    "AILabeler": "labelers.ai",
    "Answer": "core.records",
    "AnsweredPrompt": "training.examples",
    "CachedEngine": "engines.cached",
    "Candidate": "core.records",
    "check_judgments": "labelers.check",
    "Comparison": "core.records",
    "ConfigError": "core.errors",
    "Constitution": "constitution.schema",
    "CritiqueConfig": "critique.config",
    "CritiqueLoop": "critique.loop",
    "CritiqueTrace": "core.records",
    "DataError": "core.errors",
    "DistillConfig": "training.distill.config",
    "DPOConfig": "training.config",
    "draft_against_revision": "critique.comparisons",
    "Engine": "engines.protocols",
    "EngineConfig": "engines.config",
    "EngineError": "core.errors",
    "evaluate_answers": "evaluation.metrics",
    "Generation": "core.records",
    "GRPOConfig": "training.rl.config",
    "HttpEngine": "engines.http.engine",
    "Judgment": "core.records",
    "LabelConfig": "labelers.config",
    "LabelSource": "labelers.formats.source",
    "load_constitution": "constitution.loader",
    "LoraConfig": "training.config",
    "Message": "core.records",
    "Metric": "core.records",
    "MissingExtraError": "core.errors",
    "ModelConfig": "engines.config",
    "OptimConfig": "training.config",
    "Opinion": "labelers.formats.opinions",
    "Pair": "labelers.formats.opinions",
    "PPOConfig": "training.rl.config",
    "Preference": "core.records",
    "PreferencePair": "training.examples",
    "Principle": "constitution.schema",
    "Prompt": "core.records",
    "PubliusError": "core.errors",
    "read_prompts": "publius.sources.prompts",
    "RequestCache": "core.store.cache",
    "RequestError": "core.errors",
    "Reward": "core.rewards",
    "RewardConfig": "training.config",
    "RLOOConfig": "training.rl.config",
    "RLTask": "training.rl.task",
    "RowLabels": "labelers.formats.source",
    "RowSource": "labelers.formats.source",
    "run": "publius.stages.runner:execute",
    "RunReader": "publius.runs.reader",
    "RunRequest": "publius.stages.runner",
    "RunStateError": "core.errors",
    "Sample": "core.rewards",
    "Sampling": "core.records",
    "ScriptedEngine": "engines.scripted",
    "SFTConfig": "training.config",
    "steer": "publius.authoring.steering.steer",
    "SteerRequest": "publius.authoring.steering.steer",
    "taught_prompts": "publius.stages.training.distill",
    "TaughtPrompt": "training.distill.task",
    "train_distill": "training.distill.train",
    "train_dpo": "training.pairs.dpo",
    "train_grpo": "training.rl.train",
    "train_ppo": "training.rl.train",
    "train_rloo": "training.rl.train",
    "train_reward": "training.pairs.reward",
    "train_sft": "training.sft",
    "TrainingJob": "training.job",
    "TransformersEngine": "engines.hf.engine",
    "VllmEngine": "engines.vllm.engine",
    "WeightedReward": "training.rl.reward_sum",
}
"""Defining module of each public name; `module:name` if it has another name there."""

__all__ = sorted(_MODULE_OF)

_PACKAGES = (
    "constitution",
    "core",
    "critique",
    "engines",
    "evaluation",
    "labelers",
    "prompts",
    "training",
)
"""Top-level packages that are installed beside this one and that it uses."""


def __getattr__(name: str) -> Any:
    """Return a public name, importing its module on first use (PEP 562)."""
    place = _MODULE_OF.get(name)
    if place is None:
        raise AttributeError(f"module 'publius' has no attribute {name!r}")
    require_supported_system()
    require_own_packages()
    module, _, attribute = place.partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def require_supported_system() -> None:
    """Refuse to start on Windows, which lacks the file locks and process groups that runs rely on.

    Raises:
        ImportError: with the command that installs the Windows Subsystem for Linux.
    """
    if sys.platform == "win32":
        raise ImportError(
            "Publius does not run on Windows itself, but in WSL (Windows Subsystem for Linux): "
            "run wsl --install, and install Publius inside it"
        )


def require_own_packages() -> None:
    """Refuse to start if a folder of the user's hides one of the packages in `_PACKAGES`.

    Their names are common words, and Python searches the current folder first.

    Raises:
        ImportError: with the paths of both folders.
    """
    home = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        found = _folder_of(package)
        if found != home / package:
            raise ImportError(
                f"{found or 'nothing'} hides the package {package!r} of publius in {home / package}; "
                "run from another folder, rename yours, or use the command `publius` or `python -P`"
            )


def _folder_of(package: str) -> Path | None:
    """Return the folder that importing a package would find; None if there is none."""
    if package in sys.modules:
        file = sys.modules[package].__file__
    else:
        spec = importlib.util.find_spec(package)
        file = spec.origin if spec else None
    return None if file is None else Path(file).resolve().parent
