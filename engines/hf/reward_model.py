"""Reward models: one score for each answer, read at the answer's true last token.

A sequence classifier of transformers reads its score at the last token whose id is not the pad token's; where
pad and end of turn are one token it reads another place than vLLM, which takes the last token. Here the place
is told by position, and the models that Publius saves have a pad token of their own, so that all three agree.

Shapes: `N` answers of all prompts in order, `M` members of an ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import EngineError
from engines.adapter import SETTINGS, attach_adapter, attach_further_adapter, read_settings
from engines.config import ModelConfig
from engines.hf.loading import load_classifier
from engines.hf.packing import pack
from engines.loading import load_tokenizer, locate, pick_dtype
from engines.reward_settings import RewardSettings, read_reward_settings
from engines.tokenization import TurnEncoder
from engines.trees import Tree, micro_batches

MICRO_TOKENS = 4096
"""Tokens that are scored together."""


class RewardModel:
    """A reward model, or an ensemble of adapters over one model, that scores answers.

    Args:
        classifier: with its adapters, if any, loaded by `engines.hf.loading.load_classifier`.
        encoder: of its own tokenizer.
        settings: how scores are combined and read.
        adapters: names of the members' adapters; none where the model wears none.
    """

    def __init__(
        self, classifier: Any, encoder: TurnEncoder, settings: RewardSettings, adapters: Sequence[str] = ()
    ) -> None:
        self.encoder = encoder
        self.settings = settings
        self._classifier = classifier.eval()
        self._adapters = tuple(adapters)
        self._packed: bool | None = None

    def scores(self, trees: Sequence[Tree]) -> list[float]:
        """Return the score of each answer, those of an ensemble combined; higher is better."""
        settings = self.settings
        return combine(self.member_scores(trees), settings.combine, settings.uncertainty).tolist()

    def member_scores(self, trees: Sequence[Tree]) -> torch.Tensor:
        """Return (M, N) the scores of each member, on the CPU in float64."""
        if not self._adapters:
            return self._scores(trees).unsqueeze(0)
        rows = []
        for name in self._adapters:
            self._classifier.set_adapter(name)
            rows.append(self._scores(trees))
        return torch.stack(rows)

    def _scores(self, trees: Sequence[Tree]) -> torch.Tensor:
        if self._packed is None and trees:
            self._packed = is_packable(self._classifier, max(trees, key=len))
        firsts = [0]
        for tree in trees:
            firsts.append(firsts[-1] + len(tree.answers))
        found = torch.empty(firsts[-1], dtype=torch.float64)
        head = score_head(self._classifier)
        with torch.inference_mode():
            for group in micro_batches([len(tree) for tree in trees], MICRO_TOKENS):
                batch = [trees[index] for index in group]
                columns = [column for i in group for column in range(firsts[i], firsts[i + 1])]
                found[columns] = (
                    tree_scores(self._classifier, batch, head, packed=bool(self._packed)).double().cpu()
                )
        return found


def load_reward_model(folder: Path, device: str = "auto", base: ModelConfig | None = None) -> RewardModel:
    """Return the reward model of a folder: what `publius train reward` wrote, or any whole classifier.

    Args:
        folder: with `reward.json` and adapters, or with a model.
        device: `auto`, `cpu` or `cuda`.
        base: the model below the adapters; None takes the one that they name.

    Raises:
        EngineError: if there is no model, or an adapter was made for another one.
    """
    settings = read_reward_settings(folder)
    members = [folder / member for member in settings.members]
    if not (members[0] / SETTINGS).exists():
        files = locate(base or ModelConfig(id=str(folder)))
        classifier = load_classifier(files, pick_dtype("auto", device), device, 0)
        return RewardModel(classifier, TurnEncoder(load_tokenizer(files), {}, files.name), settings)
    named = read_settings(members[0])["base_model_name_or_path"]
    config = base or ModelConfig(id=str(named))
    files = locate(config)
    worn = attach_adapter(load_classifier(files, pick_dtype(config.dtype, device), device, 0), members[0])
    names = ["default", *(f"member-{number}" for number in range(1, len(members)))]
    for name, member in zip(names[1:], members[1:], strict=True):
        attach_further_adapter(worn, member, name)
    encoder = TurnEncoder(load_tokenizer(files), config.chat_template_kwargs, files.name)
    return RewardModel(worn, encoder, settings, names)


def combine(scores: torch.Tensor, how: str, uncertainty: float) -> torch.Tensor:
    """Return (N,) one score for each answer from the members' scores (M, N).

    `mean`, `min` (worst case) or `uncertainty` (mean less `uncertainty` times the variance over members):
    Coste et al. 2023, arXiv 2310.02743, equations 2 to 4.
    """
    if how == "min":
        return scores.min(dim=0).values
    mean = scores.mean(dim=0)
    return mean - uncertainty * scores.var(dim=0, unbiased=False) if how == "uncertainty" else mean


def score_head(classifier: Any) -> torch.nn.Module:
    """Return the layer that turns hidden states into scores. Raises EngineError if there is none."""
    plain = classifier.get_base_model() if hasattr(classifier, "get_base_model") else classifier
    head = getattr(plain, "score", None)
    if not isinstance(head, torch.nn.Module):
        raise EngineError(f"{type(plain).__name__} has no layer named score")
    return head


def tree_scores(model: Any, trees: Sequence[Tree], head: torch.nn.Module, *, packed: bool) -> torch.Tensor:
    """Return (N,) the scores of the answers, in float32 or wider.

    transformers returns one score per row. The head's own output, which a hook takes, has those of all
    positions.

    Args:
        model: the classifier, possibly wrapped for several processes.
        trees: prompts and answers.
        head: the classifier's last layer.
        packed: all in one row, or each answer in a row of its own.
    """
    device = next(model.parameters()).device
    seen: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        if packed:
            row = pack(trees, device)
            model(**row.inputs())
            scores = seen[0][0, row.ends, 0]
        else:
            for tree in trees:
                for answer in tree.answers:
                    ids = torch.tensor([[*tree.prompt_ids, *answer]], device=device)
                    model(input_ids=ids, use_cache=False)
            scores = torch.stack([output[0, -1, 0] for output in seen])
    finally:
        hook.remove()
    return scores if scores.dtype == torch.float64 else scores.float()


def is_packable(classifier: Any, probe: Tree) -> bool:
    """Return whether the classifier scores a packed row as it scores rows of their own, up to rounding."""
    head, was_training = score_head(classifier), classifier.training
    classifier.eval()
    with torch.inference_mode():
        plain = tree_scores(classifier, [probe], head, packed=False)
        try:
            packed = tree_scores(classifier, [probe], head, packed=True)
        except (RuntimeError, TypeError, ValueError, IndexError):  # a model of another build
            return False
        finally:
            classifier.train(was_training)
    tolerance = 0.05 if next(classifier.parameters()).dtype in (torch.bfloat16, torch.float16) else 1e-3
    return bool((packed - plain).abs().max() <= tolerance * (1 + plain.abs().max()))
