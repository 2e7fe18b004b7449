"""The grouped attention function gives the numbers of the stock one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from engines.hf import attention
from engines.hf.attention import grouped_attention


class Module(torch.nn.Module):
    """What the stock function reads from a layer."""

    is_causal = True

    def __init__(self, heads: int, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = heads // groups


def states(heads: int, groups: int, length: int, seen: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(3, heads, length, 8, generator=generator),
        torch.randn(3, groups, seen, 8, generator=generator),
        torch.randn(3, groups, seen, 8, generator=generator),
    )


def padding(seen: int) -> torch.Tensor:
    """A mask (B, 1, 1, S) of rows with 0, 2 and 5 padded places in front."""
    places = torch.arange(seen)
    return torch.stack([places >= padded for padded in (0, 2, 5)])[:, None, None]


@pytest.mark.parametrize(("heads", "groups"), [(9, 3), (4, 2), (8, 1)])
@pytest.mark.parametrize("masked", [True, False])
def test_one_new_token_over_grouped_heads_equals_the_stock_function(heads: int, groups: int, masked: bool):
    query, key, value = states(heads, groups, length=1, seen=11)
    mask = padding(11) if masked else None
    ours, weights = grouped_attention(Module(heads, groups), query, key, value, mask, scaling=0.3)
    stock, _ = sdpa_attention_forward(Module(heads, groups), query, key, value, mask, scaling=0.3)
    assert weights is None
    assert ours.shape == stock.shape == (3, 1, heads, 8)
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-6)


def test_keys_seen_through_a_view_are_read_correctly():
    query, key, value = states(4, 2, length=1, seen=20)
    ours, _ = grouped_attention(Module(4, 2), query, key[:, :, 3:14], value[:, :, 3:14], padding(11))
    packed = key[:, :, 3:14].contiguous(), value[:, :, 3:14].contiguous()
    stock, _ = sdpa_attention_forward(Module(4, 2), query, *packed, padding(11))
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("heads", "groups", "length"), [(4, 4, 1), (4, 2, 2), (9, 3, 7)])
def test_everything_else_goes_to_the_stock_function(
    heads: int, groups: int, length: int, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def stock(*args: Any, **kwargs: Any) -> tuple[str, None]:
        calls.append(kwargs["scaling"])
        return "stock", None

    monkeypatch.setattr(attention, "sdpa_attention_forward", stock)
    found, _ = grouped_attention(Module(heads, groups), *states(heads, groups, length, 7), None, scaling=0.5)
    assert found == "stock"
    assert calls == [0.5]


def test_a_model_gives_the_same_logits_with_either_function(tiny_model: Callable[..., Any]):
    ours, stock = tiny_model(attention="publius_grouped"), tiny_model(attention="sdpa")
    ids = torch.arange(3, 33).reshape(3, 10)
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, :4] = mask[2, :7] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    found = []
    for model in (ours, stock):
        with torch.inference_mode():
            prompt = model(ids, attention_mask=mask[:, :10], position_ids=places[:, :10], use_cache=True)
            new = torch.full((3, 1), 77)
            step = model(
                new, attention_mask=mask, position_ids=places[:, -1:], past_key_values=prompt.past_key_values
            )
        found.append(torch.cat([prompt.logits[:, -1], step.logits[:, -1]]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
