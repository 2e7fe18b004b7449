"""Decoding in a batch writes what each row would write alone, and what transformers writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from core.chat import turns_of
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf import decoding
from engines.hf.decoding import DecodingBatch, DecodingRow, next_token_logprobs, pad_left, positions_of
from engines.hf.engine import TransformersEngine
from engines.hf.self_check import NEW_TOKENS
from engines.protocols import GenerationRequest
from engines.tokenization import TurnEncoder
from publius.sources.prompts import read_prompts

DEMO = Path(__file__).parents[3] / "prompts" / "demo" / "prompts.jsonl"
NEAR_TIE = 1e-3
"""A gap between the two best logits that rounding may turn around."""

Prompts = Sequence[tuple[int, ...]]
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)
SAMPLED = Sampling(temperature=1.0, max_new_tokens=12)
NO_END: frozenset[int] = frozenset()


def letters(tokens: list[int]) -> str:
    return "".join(chr(ord("a") + token % 26) for token in tokens)


def prompts(*lengths: int, seed: int = 0) -> Prompts:
    random = Random(seed)
    return [tuple(random.randrange(3, 300) for _ in range(length)) for length in lengths]


def finish(batch: DecodingBatch) -> None:
    while batch.rows:
        batch.step()


def alone(model: Any, row: DecodingRow, end_ids: frozenset[int] = NO_END) -> DecodingRow:
    """The same row, decoded by itself."""
    copy = DecodingRow(row.prompt, row.sampling, row.seed)
    batch = DecodingBatch(model, end_ids, letters)
    batch.admit([copy])
    finish(batch)
    return copy


def mixed_rows(given: Prompts) -> list[DecodingRow]:
    """Greedy and sampled rows that end at different steps."""
    kinds = (GREEDY, SAMPLED, Sampling(top_p=0.9), Sampling(temperature=0.7, top_k=20))
    return [
        DecodingRow(prompt, kinds[i % 4].model_copy(update={"max_new_tokens": 3 + 5 * i % 17}), seed=100 + i)
        for i, prompt in enumerate(given)
    ]


def test_greedy_answers_are_those_of_transformers(tiny_model: Callable[..., Any]):
    model = tiny_model()
    stock = tiny_model(attention="sdpa")
    rows = [DecodingRow(prompt, GREEDY, 0) for prompt in prompts(3, 17, 1, 40)]
    batch = DecodingBatch(model, frozenset({2}), letters)
    batch.admit(rows)
    finish(batch)
    for row in rows:
        usual = stock.generate(
            torch.tensor([row.prompt]), do_sample=False, max_new_tokens=12, eos_token_id=2, pad_token_id=0
        )
        assert row.tokens == usual[0, len(row.prompt) :].tolist()


def test_rows_that_join_and_leave_midway_write_what_they_write_alone(tiny_model: Callable[..., Any]):
    model = tiny_model()
    rows = mixed_rows(prompts(5, 30, 2, 11, 64, 7, 1, 150, 20, 9))
    batch = DecodingBatch(model, NO_END, letters)
    waiting = list(rows)
    for count in (3, 2, 1, 4):  # the longest prompt joins shorter rows, and shorter ones join it
        batch.admit([waiting.pop(0) for _ in range(count)])
        for _ in range(2):
            batch.step()
    assert len(batch.rows) < len(rows)
    finish(batch)
    for row in rows:
        assert row.tokens == alone(model, row).tokens
        assert len(row.tokens) == row.sampling.max_new_tokens


def test_finished_rows_are_returned_once(tiny_model: Callable[..., Any]):
    rows = mixed_rows(prompts(4, 8, 15, 16, 23, 42))
    batch = DecodingBatch(tiny_model(), NO_END, letters)
    batch.admit(rows)
    returned = []
    while batch.rows:
        returned += batch.step()
    assert sorted(map(id, returned)) == sorted(map(id, rows))


def test_an_emptied_batch_takes_new_rows(tiny_model: Callable[..., Any]):
    model = tiny_model()
    batch = DecodingBatch(model, NO_END, letters)
    for prompt in prompts(9, 3):
        row = DecodingRow(prompt, GREEDY, 0)
        batch.admit([row])
        finish(batch)
        assert row.tokens == alone(model, row).tokens


def test_rows_leave_a_batch_with_a_sliding_window_unharmed(tiny_model: Callable[..., Any]):
    model = tiny_model(sliding_window=8)
    rows = mixed_rows(prompts(5, 30, 2, 11, 3))
    batch = DecodingBatch(model, NO_END, letters)
    assert batch.can_join
    batch.admit(rows)
    assert not batch.can_join
    finish(batch)
    for row in rows:
        assert row.tokens == alone(model, row).tokens


def test_seed_decides_what_is_drawn(tiny_model: Callable[..., Any]):
    model = tiny_model()
    (prompt,) = prompts(6)
    answers = [alone(model, DecodingRow(prompt, SAMPLED, seed)).tokens for seed in (1, 2, 1)]
    assert answers[0] == answers[2] != answers[1]


def test_left_padding_changes_no_probability(tiny_model: Callable[..., Any]):
    model = tiny_model()
    given = prompts(1, 60, 13, 5)
    together = next_token_logprobs(model, given)
    for i, prompt in enumerate(given):
        direct = torch.log_softmax(model(torch.tensor([prompt])).logits[0, -1], -1)
        torch.testing.assert_close(together[i], direct, rtol=1e-4, atol=1e-4)


def test_padding_stands_in_front_and_positions_start_at_the_first_token():
    ids, mask = pad_left([(5, 6, 7), (8,)], torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert positions_of(mask).tolist() == [[0, 1, 2], [0, 0, 0]]


def test_answer_ends_with_the_end_token(tiny_model: Callable[..., Any]):
    model = tiny_model()
    rows = [DecodingRow(prompt, GREEDY, 0) for prompt in prompts(4, 9)]
    free = alone(model, rows[0]).tokens
    end = free[5]
    ended = alone(model, rows[0], frozenset({end, 299}))
    assert ended.tokens == free[: free.index(end) + 1]
    assert ended.finish_reason == "stop"


def test_answer_is_cut_at_max_new_tokens(tiny_model: Callable[..., Any]):
    row = alone(tiny_model(), DecodingRow((5, 6), SAMPLED.model_copy(update={"max_new_tokens": 7}), 3))
    assert len(row.tokens) == 7
    assert row.finish_reason == "length"


def test_end_token_in_the_last_place_counts_as_a_stop(tiny_model: Callable[..., Any]):
    model = tiny_model()
    free = alone(model, DecodingRow((5, 6), GREEDY, 0)).tokens
    last = next(i for i, token in enumerate(free) if token not in free[:i] and i > 0)
    cut = DecodingRow((5, 6), GREEDY.model_copy(update={"max_new_tokens": last + 1}), 0)
    assert alone(model, cut, frozenset({free[last]})).finish_reason == "stop"


def test_stop_string_ends_the_answer_where_it_is_complete(tiny_model: Callable[..., Any]):
    model = tiny_model()
    (prompt,) = prompts(6)
    sampling = SAMPLED.model_copy(update={"max_new_tokens": 40})
    free = alone(model, DecodingRow(prompt, sampling, 5)).tokens
    pair = letters(free[10:12])
    first = next(i for i, two in enumerate(pairwise(free)) if letters(list(two)) == pair)
    stopped = alone(model, DecodingRow(prompt, sampling.model_copy(update={"stop": ("~", pair)}), 5))
    assert stopped.tokens == free[: first + 2]
    assert stopped.finish_reason == "stop"


def test_stop_string_of_one_row_leaves_the_others_alone(tiny_model: Callable[..., Any]):
    model = tiny_model()
    given = prompts(6, 6)
    free = alone(model, DecodingRow(given[0], SAMPLED, 5)).tokens
    stop = letters(free[3:5])
    rows = [
        DecodingRow(given[0], SAMPLED.model_copy(update={"stop": (stop,)}), 5),
        DecodingRow(given[1], SAMPLED, 6),
    ]
    batch = DecodingBatch(model, NO_END, letters)
    batch.admit(rows)
    finish(batch)
    assert len(rows[0].tokens) < 12
    assert rows[1].tokens == alone(model, rows[1]).tokens


# The embedded model


@pytest.fixture(scope="module")
def requests() -> list[GenerationRequest]:
    sampling = Sampling(temperature=0.0, max_new_tokens=32)
    prompts = list(read_prompts(DEMO))[::4][:32]
    return [GenerationRequest(turns_of(prompt.messages), sampling, 0, "draft") for prompt in prompts]


def usual_answers(
    requests: list[GenerationRequest], model: Any, encoder: TurnEncoder
) -> dict[tuple[int, ...], list[int]]:
    """What plain `generate` answers, one prompt at a time."""
    found = {}
    for request in requests:
        ids = encoder.encode(request.turns).ids
        prompt = torch.tensor([ids])
        output = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=32
        )
        found[ids] = output[0, len(ids) :].tolist()
    return found


@torch.inference_mode()
def gaps_to_the_best(model: Any, prompt: tuple[int, ...], answer: list[int]) -> list[float]:
    """By how much each token's logit falls short of the best one, in one unpadded pass over the whole."""
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return (logits.amax(-1) - chosen).tolist()  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_batch", "count"),
    [(2, 4), *(pytest.param(*case, marks=pytest.mark.long) for case in ((1, 8), (16, 32)))],
)
def test_greedy_answers_of_the_embedded_model_are_token_for_token_those_of_transformers(
    requests: list[GenerationRequest],
    reference_model: Any,
    embedded_encoder: TurnEncoder,
    max_batch: int,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
):
    written: dict[tuple[int, ...], list[int]] = {}
    sizes = set()
    step = decoding.DecodingBatch.step

    def recording(batch: DecodingBatch) -> list[DecodingRow]:
        if batch.rows[0].sampling.max_new_tokens in NEW_TOKENS:  # the check at load
            return step(batch)
        sizes.add(len(batch.rows))
        finished = step(batch)
        written.update((row.prompt, row.tokens) for row in finished)
        return finished

    async def all_answers(engine: TransformersEngine) -> None:
        await asyncio.gather(*(engine.generate(request) for request in requests[:count]))

    monkeypatch.setattr(decoding.DecodingBatch, "step", recording)
    engine = TransformersEngine(ModelConfig(id="embedded"), EngineConfig(device="cpu", max_batch=max_batch))
    asyncio.run(all_answers(engine))
    engine.close()
    assert max(sizes) == max_batch
    assert len(written) == count
    short = {prompt: gaps_to_the_best(reference_model, prompt, answer) for prompt, answer in written.items()}
    ties = [gap for gaps in short.values() for gap in gaps if gap > 0]
    assert max(ties, default=0.0) < NEAR_TIE, f"{len(ties)} tokens are not the best, by {sorted(ties)}"
    # Where no near-tie was turned around, the answer is that of `generate` to the last token.
    for prompt, usual in usual_answers(requests[: min(8, count)], reference_model, embedded_encoder).items():
        assert written[prompt] == usual or max(short[prompt]) > 0
