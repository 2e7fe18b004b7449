"""Hidden states of a causal language model after the last token of rows of token ids.

Rows are packed without padding and share the computation of a common prefix. The forward pass ends at the
deepest layer that is read, so a probe of a middle layer takes about half of the model's time.

Shapes: `N` rows, `L` layers read, `D` width of the hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from core.errors import EngineError
from engines.hf.loading import takes_packed_rows
from engines.hf.packing import attends_only, pack
from engines.hf.prefill import packed_attention_of
from engines.hf.self_check import FAILURES, eager_attention, probe_rows, type_name
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

    def read(self, rows: Sequence[tuple[int, ...]], layers: Sequence[int]) -> torch.Tensor:
        """Return the hidden states (N, L, D) after the last token of each row, in float32 on the CPU.

        Args:
            rows: token ids, none empty.
            layers: numbers of the layers, from 1 to `depth`.
        """
        found = torch.empty(len(rows), len(layers), self.width)
        groups = prefix_groups(rows) if self._packed else [[index] for index in range(len(rows))]
        trees = [prefix_tree([rows[index] for index in group]) for group in groups]
        with torch.inference_mode():
            for batch in micro_batches([len(tree) for tree in trees], STATE_TOKENS if self._packed else 1):
                order = [index for number in batch for index in groups[number]]
                if self._packed:
                    row = pack([trees[number] for number in batch], self._model.device)
                    with packed_attention_of(self._model):
                        states = self._forward(layers, **row.inputs())
                    found[order] = states[:, row.ends].transpose(0, 1).float().cpu()
                else:
                    found[order[0]] = self._plain(rows[order[0]], layers)
        return found

    def _plain(self, row: tuple[int, ...], layers: Sequence[int]) -> torch.Tensor:
        """Return the hidden states (L, D) after one row that is computed alone."""
        ids = torch.tensor([row], device=self._model.device)
        return self._forward(layers, input_ids=ids, use_cache=False)[:, -1].float().cpu()

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
        rows = [(*first, *second), (*first, *third), third]
        layers = [(self.depth + 1) // 2, self.depth]
        with eager_attention(self._model), torch.inference_mode():
            expected = torch.stack([self._plain(row, layers) for row in rows])
        self._packed = True
        try:
            found = self.read(rows, layers)
        except (EngineError, *FAILURES):
            return False
        narrow = self._model.dtype in (torch.bfloat16, torch.float16)
        tolerance = _NARROW_TOLERANCE if narrow else _TOLERANCE
        scale = expected.abs().amax(dim=-1, keepdim=True)
        return bool(((found - expected).abs() <= tolerance * scale).all())


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
