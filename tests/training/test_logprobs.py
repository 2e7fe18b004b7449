"""Log-probabilities of answers, batched and padded, against one row at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from training.examples import EncodedAnswer
from training.logprobs import answer_logits, answer_logprobs, collate

ROWS = [
    EncodedAnswer((1, 5, 6, 7), (8, 9, 2)),
    EncodedAnswer((1, 5), (8, 9, 10, 11, 12, 2)),
    EncodedAnswer((1, 20, 21, 22, 23, 24, 25), (2,)),
    EncodedAnswer((1, 5, 0, 7), (0, 9, 0)),  # the id that pads is a real token here
]


def alone(model: Any, row: EncodedAnswer) -> float:
    """The answer's log-probability by one plain forward pass over the whole sequence."""
    ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0].double().log_softmax(dim=-1)
    first = len(row.prompt_ids)
    return sum(logprobs[first + k - 1, token].item() for k, token in enumerate(row.answer_ids))


def test_batched_rows_have_the_log_probability_that_they_have_alone(tiny_model: Any):
    model = tiny_model(attention="sdpa", initializer_range=0.2)
    with torch.no_grad():
        batched = answer_logprobs(model, collate(ROWS))
    assert batched.tolist() == pytest.approx([alone(model, row) for row in ROWS], abs=1e-4)


def test_double_precision_is_kept(tiny_model: Any):
    model = tiny_model(attention="sdpa", initializer_range=0.2).double()
    with torch.no_grad():
        batched = answer_logprobs(model, collate(ROWS))
    assert batched.dtype == torch.float64
    assert batched.tolist() == pytest.approx([alone(model, row) for row in ROWS], abs=1e-10)


def test_answers_begin_in_one_column_and_padding_is_masked():
    batch = collate(ROWS)
    assert batch.input_ids.shape == (4, 7 + 6)
    assert batch.answer_ids.shape == batch.answer_mask.shape == (4, 6)
    assert batch.answer_mask.sum(dim=1).tolist() == [3, 6, 1, 3]
    assert batch.attention_mask.sum(dim=1).tolist() == [7, 8, 8, 7]
    assert batch.position_ids[1].tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert batch.input_ids[2].tolist() == [1, 20, 21, 22, 23, 24, 25, 2, 0, 0, 0, 0, 0]


def test_logits_are_those_that_predict_the_answer(tiny_model: Any):
    model = tiny_model(attention="sdpa")
    batch = collate(ROWS[:1])
    with torch.no_grad():
        logits = answer_logits(model, batch)
        whole = model(input_ids=batch.input_ids).logits
    assert logits.shape == (1, 3, 300)
    assert torch.allclose(logits, whole[:, 3:6], atol=1e-5)


def test_an_answer_s_gradient_does_not_depend_on_its_neighbours(tiny_model: Any):
    model = tiny_model(attention="sdpa").train()
    weight = model.model.layers[0].mlp.up_proj.weight
    answer_logprobs(model, collate(ROWS[:1])).sum().backward()
    single = weight.grad.clone()
    model.zero_grad()
    answer_logprobs(model, collate(ROWS))[0].backward()
    assert torch.allclose(weight.grad, single, atol=1e-5)
