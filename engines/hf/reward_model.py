"""Reward models: one score per answer, read at the answer's last token.

transformers' sequence classifiers read the score at the last token whose id is not the pad token's. If the
pad token also ends turns, that is another place than in vLLM, which reads the last token. Here the score is
read by position, and models saved by Publius have a pad token of their own, so all three agree.

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
from engines.hf.packing import attends_only, pack
from engines.hf.sampling import wide
from engines.hf.self_check import (
    acting_adapter,
    eager_attention,
    one_line,
    probe_rows,
    require_equal,
    with_right_attention,
)
from engines.loading import holds_model, load_tokenizer, locate, pick_dtype
from engines.reward_settings import RewardSettings, read_reward_settings
from engines.tokenization import TurnEncoder
from engines.trees import Tree, micro_batches, probe_trees

MICRO_TOKENS = 4096
"""Maximum number of tokens that are scored together."""
_NARROW_TOLERANCE = 0.05
"""Largest difference of scores due to rounding in bfloat16 and float16, relative to 1 + the largest score."""


class RewardModel:
    """A reward model, or an ensemble of reward adapters on one model.

    Args:
        classifier: a model from `engines.hf.loading.load_classifier`, with its adapters if any.
        encoder: the encoder of its tokenizer.
        settings: how scores are combined and normalised.
        adapters: names of the members' adapters; empty if the model has no adapter.
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
        """Return the score of each answer, combined over an ensemble's members; higher is better."""
        settings = self.settings
        return combine(self.member_scores(trees), settings.combine, settings.uncertainty).tolist()

    def member_scores(self, trees: Sequence[Tree]) -> torch.Tensor:
        """Return the scores of each member (M, N), on the CPU in float64."""
        if not self._adapters:
            return self._scores(trees).unsqueeze(0)
        rows = []
        for name in self._adapters:
            self._classifier.set_adapter(name)
            rows.append(self._scores(trees))
        return torch.stack(rows)

    def _scores(self, trees: Sequence[Tree]) -> torch.Tensor:
        if self._packed is None and trees:
            # Decided once, on the longest tree: whether packing is exact depends on the model alone.
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
    """Load a reward model from a folder written by `publius train reward`, or any sequence classifier.

    Args:
        folder: a folder with `reward.json` and adapters, or with a model.
        device: `auto`, `cpu` or `cuda`.
        base: the base model of the adapters; None for the one named in their settings.

    Raises:
        EngineError: if the folder has no model, or an adapter was trained on another model.
    """
    settings = read_reward_settings(folder)
    members = [folder / member for member in settings.members]
    if not (members[0] / SETTINGS).exists():  # without adapters, the folder itself is the model
        config = base or ModelConfig(id=str(folder))
        if holds_model(members[0]):
            own = {"id": str(folder), "revision": None, "adapter": None, "quantization": None}
            config = config.model_copy(update=own)
        files = locate(config)
        classifier = load_classifier(files, pick_dtype(config.dtype, device), device, 0)
        require_scores(classifier, files.name)
        encoder = TurnEncoder(load_tokenizer(files), config.chat_template_kwargs, files.name)
        return RewardModel(classifier, encoder, settings)
    named = read_settings(members[0])["base_model_name_or_path"]
    config = base or ModelConfig(id=str(named))
    files = locate(config)
    model = attach_adapter(load_classifier(files, pick_dtype(config.dtype, device), device, 0), members[0])
    names = ["default", *(f"member-{number}" for number in range(1, len(members)))]
    for name, member in zip(names[1:], members[1:], strict=True):
        attach_further_adapter(model, member, name)
    require_scores(model, files.name)
    encoder = TurnEncoder(load_tokenizer(files), config.chat_template_kwargs, files.name)
    return RewardModel(model, encoder, settings, names)


def combine(scores: torch.Tensor, how: str, uncertainty: float) -> torch.Tensor:
    """Combine the members' scores (M, N) into one score per answer (N,).

    `mean`, `min` (worst case) or `uncertainty` (mean minus `uncertainty` times the variance over members):
    Coste et al. 2023, arXiv 2310.02743, equations 2 to 4.
    """
    if how == "min":
        return scores.min(dim=0).values
    mean = scores.mean(dim=0)
    return mean - uncertainty * scores.var(dim=0, unbiased=False) if how == "uncertainty" else mean


def score_head(classifier: Any) -> torch.nn.Module:
    """Return the layer that maps hidden states to scores. Raises EngineError if there is none."""
    plain = classifier.get_base_model() if hasattr(classifier, "get_base_model") else classifier
    head = getattr(plain, "score", None)
    if not isinstance(head, torch.nn.Module):
        raise EngineError(f"{type(plain).__name__} has no layer named score")
    return head


def tree_scores(model: Any, trees: Sequence[Tree], head: torch.nn.Module, *, packed: bool) -> torch.Tensor:
    """Return the scores of the answers (N,), in float32 or float64.

    transformers returns one score per row. A hook reads the head's own output, which has the scores of all
    positions.

    Args:
        model: the classifier, possibly wrapped for distributed training.
        trees: prompts and answers.
        head: the classifier's last layer.
        packed: pack all answers into one row; else each answer has a row of its own.
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
    return wide(scores)


def require_scores(classifier: Any, name: str) -> None:
    """Raise EngineError if scores differ from those of eager attention by more than rounding.

    A model whose attention function is at fault gets eager attention instead.

    Args:
        classifier: a model from `engines.hf.loading.load_classifier`, with its adapters if any.
        name: the model's name, for the message.
    """
    head, how = score_head(classifier), "scoring"

    def check() -> None:
        with one_line(classifier, how, name), acting_adapter(classifier), torch.no_grad():
            first, second, third = probe_rows(classifier)
            trees = [Tree(first, (second, third))]
            found = tree_scores(classifier, trees, head, packed=False)
            with eager_attention(classifier):
                expected = tree_scores(classifier, trees, head, packed=False)
        scale = 1 + expected.abs().max()
        require_equal(classifier, how, [found / scale], [expected / scale], name, _NARROW_TOLERANCE)

    with_right_attention(classifier, name, check)


def is_packable(classifier: Any, probe: Tree) -> bool:
    """Return True if the classifier scores a packed row as it scores separate rows, up to rounding."""
    if not attends_only(classifier.config):
        return False
    head, trees = score_head(classifier), probe_trees(probe)
    with acting_adapter(classifier), torch.inference_mode():
        plain = tree_scores(classifier, trees, head, packed=False)
        try:
            with one_line(classifier, "packed rows", ""):
                packed = tree_scores(classifier, trees, head, packed=True)
        except EngineError:
            return False  # an architecture that cannot be packed
    # Rounding of the weights' type; another attention pattern differs by far more.
    is_narrow = next(classifier.parameters()).dtype in (torch.bfloat16, torch.float16)
    tolerance = _NARROW_TOLERANCE if is_narrow else 1e-3
    return bool((packed - plain).abs().max() <= tolerance * (1 + plain.abs().max()))
