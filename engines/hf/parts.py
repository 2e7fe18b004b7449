"""Scoring of prompts in parts: branches that do not see each other, and whole answers to one prompt.

Shapes: `V` tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch

from engines.hf.packing import AttentionCall, additive_mask, pack, packed_inputs, window_mask
from engines.hf.prefill import packed_attention_of
from engines.trees import BranchedPrompt, Node, Tree


@dataclass(slots=True)
class NodeBlock:
    """Place of the nodes of a branched prompt in a packed row, and the attention calls that they take."""

    nodes: Sequence[Node]
    device: torch.device | str = "cpu"
    _pieces: dict[tuple[int | None, int, torch.dtype], list[AttentionCall]] = field(default_factory=dict)

    def pieces(self, window: int | None, group: int, dtype: torch.dtype) -> list[AttentionCall]:
        """Return one attention call for each node, as `engines.hf.packing.Block` does."""
        case = (window, group, dtype)
        if case not in self._pieces:  # the same for all layers
            bounds = list(accumulate((len(node.ids) for node in self.nodes), initial=0))
            spans = [slice(*ends) for ends in pairwise(bounds)]
            self._pieces[case] = [
                self._piece(node, own, [spans[place] for place in node.seen], case)
                for node, own in zip(self.nodes, spans, strict=True)
                if node.ids
            ]
        return self._pieces[case]

    def _piece(
        self, node: Node, own: slice, seen: list[slice], case: tuple[int | None, int, torch.dtype]
    ) -> AttentionCall:
        window, group, dtype = case
        at = node_positions([self.nodes[place] for place in (*node.seen,)] + [node])
        keys = torch.tensor(at)
        mask = window_mask(keys[len(at) - len(node.ids) :], keys, window)
        return AttentionCall(own, (*seen, own), additive_mask(mask, group, dtype, self.device))


def node_positions(nodes: Sequence[Node]) -> list[int]:
    """Return the position of each token of some nodes."""
    return [node.start + offset for node in nodes for offset in range(len(node.ids))]


@torch.no_grad()
def branch_logprobs(model: Any, prompt: BranchedPrompt) -> torch.Tensor:
    """Return the next-token log-probabilities (namings, V) in nats behind the question, for each naming.

    Args:
        model: a model that takes packed rows (`engines.hf.self_check.require_inference`).
        prompt: shared text, branches and question; it is computed in one forward pass.
    """
    nodes = prompt.nodes()
    ids = torch.tensor([[token for node in nodes for token in node.ids]], device=model.device)
    positions = torch.tensor([node_positions(nodes)], device=model.device)
    ends = torch.tensor(list(accumulate(len(node.ids) for node in nodes)), device=model.device) - 1
    inputs = packed_inputs(ids, positions, [NodeBlock(nodes, model.device)])
    with packed_attention_of(model):
        logits: torch.Tensor = model(**inputs, logits_to_keep=ends[-len(prompt.namings) :]).logits[0]
    back = torch.tensor(prompt.order, device=model.device).argsort()
    return logits.float().log_softmax(dim=-1)[back]


@torch.no_grad()
def whole_answer_logprobs(model: Any, tree: Tree, *, packed: bool) -> list[float]:
    """Return the log-probability in nats of each answer to a prompt: the sum over its tokens.

    Args:
        model: a causal language model.
        tree: the prompt and its answers.
        packed: compute the prompt once; else each answer in a row of its own.
    """
    trees = [tree] if packed else [Tree(tree.prompt_ids, (answer,)) for answer in tree.answers]
    found: list[float] = []
    for part in trees:
        row = pack([part], model.device)
        if packed:
            with packed_attention_of(model):
                logits = model(**row.inputs(), logits_to_keep=row.predictors).logits[0]
        else:
            logits = model(input_ids=row.input_ids, use_cache=False).logits[0][row.predictors]
        # The sum of many small numbers: in float64, the order of the tokens makes no difference.
        each = logits.float().log_softmax(dim=-1).gather(-1, row.answer_ids[:, None])[:, 0].double()
        found += [float(answer.sum()) for answer in each.split(list(row.lengths))]
    return found
