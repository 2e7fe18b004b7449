"""Packed prompts against rows of their own: the same numbers, and each shared token computed once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from core.records import Sampling
from engines.hf.decoding import DecodingBatch, DecodingRow
from engines.hf.kv_cache import RowCache
from engines.hf.prefill import next_logits, next_logits_behind, prefill
from engines.hf.prefixes import PrefixStore
from engines.hf.self_check import require_inference
from tests.engines.families import FAMILIES, tiny

Row = tuple[int, ...]
JOINING = ("llama", "qwen3")
"""Families whose rows can join a batch: those without windows."""


def row(length: int, seed: int) -> Row:
    chance = random.Random(seed)
    return tuple(chance.randrange(3, 120) for _ in range(length))


STEM, OTHER = row(30, 1), row(12, 2)
PROMPTS = [(*STEM, *row(5, 3)), OTHER, (*STEM, *row(1, 4)), (*STEM, *row(9, 5)), OTHER, row(2, 6)]


def plain_logits(model: Any, prompts: Sequence[Row]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.stack([model(input_ids=torch.tensor([prompt])).logits[0, -1] for prompt in prompts])


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """The number of tokens of each forward pass."""
    passes: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, inputs: passes.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    yield passes
    hook.remove()


def greedy(prompt: Row, new: int = 6) -> DecodingRow:
    return DecodingRow(prompt, Sampling(temperature=0.0, max_new_tokens=new), 0)


def decode(model: Any, rows: Sequence[DecodingRow], store: PrefixStore | None = None) -> list[list[int]]:
    batch = DecodingBatch(model, frozenset(), lambda tokens: "", prefixes=store)
    batch.admit(rows)
    while batch.rows:
        batch.step()
    return [one.tokens for one in rows]


def chain(model: Any, store: PrefixStore | None) -> list[list[int]]:
    """Three turns of two conversations: each prompt is the last one with its answer and a few tokens more."""
    prompts, written = [STEM, OTHER], []
    for turn in range(3):
        answers = decode(model, [greedy(prompt) for prompt in prompts], store)
        written += answers
        prompts = [(*p, *answer, *row(4, 10 + turn)) for p, answer in zip(prompts, answers, strict=True)]
    return written


@pytest.mark.parametrize("attention", ["publius_grouped", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_of_shared_prefixes_are_those_of_single_rows(family: str, attention: str):
    model = tiny(family, attention)
    expected = plain_logits(tiny(family, "sdpa"), PROMPTS)
    with counted(model) as passes, torch.inference_mode():
        found = next_logits(model, PROMPTS)
    assert (found - expected).abs().max() < 1e-10
    assert passes == [30 + 5 + 1 + 9 + 12 + 2]
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("family", JOINING)
def test_prompts_behind_stored_states_have_the_logits_of_single_rows(family: str):
    model = tiny(family)
    store = PrefixStore(2**20)
    decode(model, [greedy(STEM), greedy(row(20, 7))], store)
    with counted(model) as passes, torch.inference_mode():
        cache = RowCache(model.config)
        logits, mask = prefill(model, PROMPTS, store, cache)
    assert (logits - plain_logits(model, PROMPTS)).abs().max() < 1e-10
    assert passes == [5 + 12 + 1 + 9 + 2]
    lengths = [len(prompt) for prompt in PROMPTS]
    assert mask.sum(-1).tolist() == lengths
    assert all(mask[i, -length:].all() for i, length in enumerate(lengths))


@pytest.mark.parametrize("family", JOINING)
def test_cache_behind_stored_states_is_that_of_single_rows(family: str):
    model = tiny(family)
    store = PrefixStore(2**20)
    decode(model, [greedy(STEM)], store)
    cache = RowCache(model.config)
    with torch.inference_mode():
        prefill(model, PROMPTS, store, cache)
        for index, prompt in enumerate(PROMPTS):
            expected = model(input_ids=torch.tensor([prompt]), use_cache=True).past_key_values
            for mine, plain in zip(cache.cache.layers, expected.layers, strict=True):
                assert (mine.keys[index, :, -len(prompt) :] - plain.keys[0]).abs().max() < 1e-10
                assert (mine.values[index, :, -len(prompt) :] - plain.values[0]).abs().max() < 1e-10


@pytest.mark.parametrize("family", FAMILIES)
def test_conversations_that_reuse_their_states_are_written_alike(family: str):
    model = tiny(family)
    assert chain(model, PrefixStore(2**20)) == chain(model, None)


def test_each_token_of_a_conversation_is_computed_once():
    model, store = tiny("llama"), PrefixStore(2**20)
    with counted(model) as passes:
        chain(model, store)
    # Per conversation and turn: new tokens of the prompt, and answers but for their last token, which is
    # computed with the next turn.
    assert sum(passes) == (30 + 12) + 2 * (3 * 5 + 2 * (1 + 4))
    with counted(model) as passes:
        chain(model, PrefixStore(0))
    assert sum(passes) == sum(length + 10 * turn + 5 for turn in range(3) for length in (30, 12))


def test_conversations_whose_states_were_dropped_are_written_alike():
    model, expected = tiny("llama"), chain(tiny("llama"), None)
    row_bytes = 2 * 2 * 2 * 8 * 8 * (30 + 5)
    for room in (row_bytes, 2 * row_bytes):
        store = PrefixStore(room)
        assert chain(model, store) == expected
        assert store.size <= room


def test_rows_join_a_batch_behind_stored_states():
    model, store = tiny("llama"), PrefixStore(2**20)
    decode(model, [greedy(STEM)], store)
    long, late = greedy(OTHER, 12), greedy((*STEM, *row(3, 8)))
    batch = DecodingBatch(model, frozenset(), lambda tokens: "", prefixes=store)
    batch.admit([long])
    for _ in range(3):
        batch.step()
    batch.admit([late])
    while batch.rows:
        batch.step()
    expected = decode(model, [greedy(OTHER, 12)]) + decode(model, [greedy(late.prompt)])
    assert [long.tokens, late.tokens] == expected


def test_sampled_rows_draw_the_same_tokens_behind_stored_states():
    model, store = tiny("llama"), PrefixStore(2**20)
    decode(model, [greedy(STEM)], store)
    sampling = Sampling(temperature=1.0, max_new_tokens=8)
    rows = [[DecodingRow(prompt, sampling, 7 + i) for i, prompt in enumerate(PROMPTS)] for _ in range(2)]
    assert decode(model, rows[0], store) == decode(model, rows[1])


def test_equal_prompts_of_several_samples_are_computed_once():
    model = tiny("llama")
    rows = [DecodingRow(STEM, Sampling(max_new_tokens=1), seed) for seed in range(4)]
    with counted(model) as passes:
        decode(model, rows, PrefixStore(2**20))
    assert passes == [30]


@pytest.mark.parametrize("family", FAMILIES)
def test_check_at_load_finds_that_a_model_takes_packed_rows(family: str):
    assert require_inference(tiny(family), "model")


def test_model_in_eager_attention_gets_padded_rows():
    assert not require_inference(tiny("llama", "eager"), "model")


@pytest.mark.parametrize("family", JOINING)
def test_scores_behind_remembered_prompts_are_those_of_single_rows(family: str):
    model, store = tiny(family), PrefixStore(2**20)
    edited = [(*prompt[:-1], 77, 78) for prompt in PROMPTS]
    with torch.inference_mode():
        for prompts in (PROMPTS, edited, PROMPTS):
            found = next_logits_behind(model, prompts, store)
            assert (found - plain_logits(model, prompts)).abs().max() < 1e-10


def test_other_end_of_a_remembered_prompt_is_all_that_is_computed():
    model, store = tiny("llama"), PrefixStore(2**20)
    contents = [row(40, 20 + n) for n in range(3)]
    with counted(model) as passes, torch.inference_mode():
        next_logits_behind(model, [(*content, 5, 6) for content in contents], store)
        assert sum(passes) == 3 * 42
        next_logits_behind(model, [(*content, 7, 8, 9) for content in contents], store)
    assert sum(passes) == 3 * 42 + 3 * 3
    assert len(store) == 3  # the second prompts are stored but for their ends


def test_beginning_that_prompts_share_is_computed_and_remembered_once():
    model, store = tiny("llama"), PrefixStore(2**20)
    first = [(*STEM, 5, 6), (*STEM, 6, 5)]
    with counted(model) as passes, torch.inference_mode():
        next_logits_behind(model, first, store)
        assert sum(passes) == 30 + 2 * 2
        next_logits_behind(model, [(*STEM, 9)], store)
    assert sum(passes) == 30 + 2 * 2 + 1
    assert len(store) == 1


def test_prompts_are_scored_alike_where_nothing_can_be_remembered():
    model, store = tiny("llama"), PrefixStore(0)
    with torch.inference_mode():
        found = next_logits_behind(model, PROMPTS, store)
    assert (found - plain_logits(model, PROMPTS)).abs().max() < 1e-10
    assert store.size == 0
