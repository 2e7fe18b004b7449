"""Features of questions about a reply: hidden states of a causal language model, and the reply's length.

    features = [mean of the hidden states of the reply's tokens; that after the last token; log(1 + tokens)]

The mean says what the reply is like, the last token what the model makes of it under the principle; a probe
can use the length, or be made blind to it. Rows are packed without padding and share the computation of a
common prefix: all questions about one reply compute it once. The forward pass ends at the deepest layer that
is read, so a probe of a middle layer takes about half of the model's time.

Shapes: `N` rows, `L` layers read, `D` width of the hidden states, `F` = 2 D + 1 features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from core.errors import EngineError
from engines.hf.loading import takes_packed_rows
from engines.hf.packing import Block, attends_only, pack
from engines.hf.prefill import packed_attention_of
from engines.hf.self_check import FAILURES, eager_attention, probe_rows, type_name
from engines.judge.rows import QuestionRow
from engines.trees import micro_batches, prefix_groups, prefix_tree

STATE_TOKENS = 4096
"""Maximum number of tokens that are computed together."""
_TOLERANCE = 1e-5
"""Largest difference due to rounding in float32, relative to the largest hidden state of the row."""
_NARROW_TOLERANCE = 0.05
"""The same in bfloat16 and float16."""


class _EnoughLayersError(Exception):
    """Ends a forward pass at the deepest layer that is read."""


class StateReader:
    """Reads hidden states of a language model.

    Layer k is the output of the k-th decoder layer, counted from 1, before the model's final norm:
    transformers' `hidden_states[k]` for all but the last.

    Args:
        model: a causal language model in evaluation mode, from `engines.hf.loading.load_model`.
        name: the model's name, for messages.

    Raises:
        EngineError: if the model's layers are not found.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self._model = model
        self._layers = decoder_layers(model, name)
        self._packed = self._takes_packed_rows()

    @property
    def depth(self) -> int:
        """Number of the model's layers."""
        return len(self._layers)

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return int(self._model.config.get_text_config().hidden_size)

    def read(self, rows: Sequence[QuestionRow], layers: Sequence[int]) -> torch.Tensor:
        """Return the features (N, L, F) of questions, in float32 on the CPU.

        Args:
            rows: the questions, none empty.
            layers: numbers of the layers, from 1 to `depth`.
        """
        found = torch.empty(len(rows), len(layers), 2 * self.width + 1)
        ids = [row.ids for row in rows]
        groups = prefix_groups(ids) if self._packed else [[index] for index in range(len(rows))]
        trees = [prefix_tree([ids[index] for index in group]) for group in groups]
        with torch.inference_mode():
            for batch in micro_batches([len(tree) for tree in trees], STATE_TOKENS if self._packed else 1):
                order = [index for number in batch for index in groups[number]]
                if self._packed:
                    row = pack([trees[number] for number in batch], self._model.device)
                    with packed_attention_of(self._model):
                        states = self._forward(layers, **row.inputs())
                    places = (columns for block in row.blocks for columns in _columns(block))
                    for index, columns in zip(order, places, strict=True):
                        found[index] = _features(states[:, columns], rows[index])
                else:
                    found[order[0]] = _features(self._plain(ids[order[0]], layers), rows[order[0]])
        return found

    def _plain(self, row: tuple[int, ...], layers: Sequence[int]) -> torch.Tensor:
        """Return the hidden states (L, T, D) of one row that is computed alone."""
        ids = torch.tensor([row], device=self._model.device)
        return self._forward(layers, input_ids=ids, use_cache=False)

    def _forward(self, layers: Sequence[int], **inputs: Any) -> torch.Tensor:
        """Return the outputs (L, T, D) of layers for one row of T tokens; no later layer is computed."""
        seen: dict[int, torch.Tensor] = {}
        deepest = max(layers)

        def note(number: int, output: Any) -> None:
            seen[number] = (output if isinstance(output, torch.Tensor) else output[0])[0]
            if number == deepest:
                raise _EnoughLayersError

        hooks = [
            self._layers[number - 1].register_forward_hook(lambda _m, _i, output, n=number: note(n, output))
            for number in set(layers)
        ]
        try:
            self._model(**inputs)
        except _EnoughLayersError:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack([seen[number] for number in layers])

    def _takes_packed_rows(self) -> bool:
        """Return True if packed rows give the hidden states of single rows in eager attention."""
        if not (takes_packed_rows(self._model) and attends_only(self._model.config)):
            return False
        first, second, third = probe_rows(self._model)
        rows = [QuestionRow(ids, 1, len(ids)) for ids in ((*first, *second), (*first, *third), third)]
        layers = [(self.depth + 1) // 2, self.depth]
        with eager_attention(self._model), torch.inference_mode():
            expected = torch.stack([_features(self._plain(row.ids, layers), row) for row in rows])
        self._packed = True
        try:
            found = self.read(rows, layers)
        except (EngineError, *FAILURES):
            return False
        narrow = self._model.dtype in (torch.bfloat16, torch.float16)
        tolerance = _NARROW_TOLERANCE if narrow else _TOLERANCE
        scale = expected[..., :-1].abs().amax(dim=-1, keepdim=True)
        return bool(((found - expected).abs() <= tolerance * scale).all())


def _columns(block: Block) -> Iterator[list[int]]:
    """Yield the columns of each row of a block of rows with a common prefix, in order of position."""
    prefix, *lengths = block.lengths
    shared, first = range(block.start, block.start + prefix), block.start + prefix
    for length in lengths:
        yield [*shared, *range(first, first + length)]
        first += length


def _features(states: torch.Tensor, row: QuestionRow) -> torch.Tensor:
    """Return the features (L, F) of a question from the hidden states (L, T, D) of its T tokens."""
    reply = states[:, row.start : row.stop].float().mean(dim=1)
    length = reply.new_full((len(states), 1), math.log1p(row.reply_tokens))
    return torch.cat([reply, states[:, -1].float(), length], dim=1).cpu()


def decoder_layers(model: Any, name: str) -> torch.nn.ModuleList:
    """Return the decoder layers of a causal language model. Raises EngineError if there are none."""
    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise EngineError(
        f"{type_name(model)} has no list of {count} layers to read hidden states from",
        where=name,
        accepted="a decoder such as Llama, Qwen, Mistral or Gemma",
    )
