"""Features are of transformers' hidden states, packed or not; no layer behind the deepest is computed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.errors import EngineError
from engines.judge import states
from engines.judge.rows import QuestionRow
from engines.judge.states import StateReader, decoder_layers
from tests.engines.families import FAMILIES, tiny

ROWS = [
    QuestionRow((1, 5, 6, 7, 8, 9), 2, 5),
    QuestionRow((1, 5, 6, 7, 20, 21, 22), 3, 6),
    QuestionRow((30, 31), 0, 1),
    QuestionRow((1, 5, 6, 7), 1, 3),
    QuestionRow((40, 41, 42, 43, 44, 45, 46, 47, 48), 8, 9),
]


def plain(model: Any, row: QuestionRow, layer: int) -> torch.Tensor:
    """The features of a row of its own, from the states that transformers reports."""
    with torch.inference_mode():
        output = model(torch.tensor([row.ids]), output_hidden_states=True, use_cache=False)
    states = output.hidden_states[layer][0].float()
    length = torch.tensor([math.log(1 + row.stop - row.start)])
    return torch.cat([states[row.start : row.stop].mean(dim=0), states[-1], length])


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_of_plain_rows(family: str):
    model = tiny(family, num_hidden_layers=3)
    found = StateReader(model, family).read(ROWS, [2, 1])
    expected = torch.stack([torch.stack([plain(model, row, layer) for layer in (2, 1)]) for row in ROWS])
    assert found.shape == (len(ROWS), 2, 65)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_rows_are_packed_and_in_several_batches(monkeypatch: pytest.MonkeyPatch):
    model = tiny("llama")
    reader = StateReader(model, "tiny")
    together = reader.read(ROWS, [1])
    passes: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda _m, inputs, _o: passes.append(inputs[0].shape[1]))
    reader.read(ROWS, [1])
    assert passes == [4 + 2 + 3 + 0 + 2 + 9]  # the common prefix of three rows once
    monkeypatch.setattr(states, "STATE_TOKENS", 8)
    torch.testing.assert_close(reader.read(ROWS, [1]), together, rtol=0, atol=1e-6)


def test_layers_behind_the_deepest_are_not_computed():
    model = tiny("llama", num_hidden_layers=4)
    reader = StateReader(model, "tiny")
    computed: list[int] = []
    for number, layer in enumerate(model.model.layers, start=1):
        layer.register_forward_hook(lambda _m, _i, _o, n=number: computed.append(n))
    reader.read(ROWS[:2], [1, 2])
    assert computed == [1, 2]


def test_a_model_that_cannot_be_packed_is_read_row_by_row():
    model = tiny("llama", "eager", num_hidden_layers=3)
    reader = StateReader(model, "tiny")
    expected = torch.stack([plain(model, row, 2) for row in ROWS])
    torch.testing.assert_close(reader.read(ROWS, [2])[:, 0], expected, rtol=0, atol=1e-5)


def test_a_model_without_a_list_of_layers_is_refused():
    model = tiny("llama")
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(EngineError, match="no list of 2 layers"):
        decoder_layers(model, "tiny")


@pytest.mark.slow
def test_states_of_the_embedded_model(reference_model: Any, embedded_engine: Any):
    from engines.hf.loading import load_model

    model = load_model(embedded_engine._files, "float32", "cpu")
    found = StateReader(model, "embedded").read(ROWS, [10, 20])
    for row, mine in zip(ROWS, found, strict=True):
        for layer, state in zip((10, 20), mine, strict=True):
            expected = plain(reference_model, row, layer)
            assert (state - expected).abs().max() <= 1e-5 * expected.abs().max()
