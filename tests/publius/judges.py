"""A trained judge without a training: a tiny model of bytes, and a probe of given weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.config import ModelConfig
from engines.judge.model import StateSource, write_probe
from engines.judge.settings import JudgeSettings, KindFigures, PrincipleProbe, write_judge_settings
from prompts.environment import PromptTemplates

WIDTH = 32


def model_of_bytes(folder: Path, tiny_model: Any, tiny_tokenizer: Any) -> Path:
    """Write a tiny random model with room for a question; return its folder."""
    from engines.tokenization import CHATML

    built = tiny_model(attention="sdpa", initializer_range=0.1, max_position_embeddings=4096)
    built.save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return folder


def figures(accuracy: float) -> KindFigures:
    """Figures of which only the accuracy matters."""
    return KindFigures(
        labels=100,
        accuracy=accuracy,
        low=accuracy,
        high=accuracy,
        majority=0.5,
        nll=0.6,
        ece=0.05,
        ece_by_chance=0.05,
    )


def own_probe(text: str, accuracy: float = 0.8, **changed: Any) -> PrincipleProbe:
    """The settings of a principle's own probe."""
    found = PrincipleProbe(
        id=text.split()[-1].strip("."),
        text=text,
        layer=1,
        reading="both",
        loss="brier",
        l2=0.1,
        blind_to_length=True,
        temperature=1.0,
        gold={"checks": 40},
        fulfilled=20,
        broken=20,
        figures=figures(accuracy),
    )
    return found.model_copy(update=changed)


def write_judge(folder: Path, model: Path, **changed: Any) -> Path:
    """Write a judge whose weights grow with the place; return its folder.

    Its principles' own probes, in `principles`, have the same weights turned round, each times its number.
    """
    import torch

    config = ModelConfig(id=str(model))
    source = StateSource(config, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    weight = torch.linspace(-1, 1, 2 * WIDTH + 1, dtype=torch.float64)
    numbers = torch.arange(1, 1 + len(changed.get("principles", ())), dtype=torch.float64)
    own = (numbers[:, None] * weight.flip(0), numbers) if len(numbers) else None
    write_probe(folder, weight, torch.tensor(0.25, dtype=torch.float64), own)
    settings = JudgeSettings(
        model=config,
        identity=source.identity,
        templates=PromptTemplates().digest_of("pointwise"),
        layer=2,
        layers=2,
        loss="brier",
        l2=0.1,
        temperature=1.0,
        labels=100,
        kinds={"pairs": figures(0.8), "max_words": figures(0.55)},
    )
    write_judge_settings(folder, settings.model_copy(update=changed))
    return folder
