"""Checks at load: a model must compute in batches and packed rows what it computes for a single row.

Batched decoding pads on the left and keeps a cache of keys and values; training pads and packs; attention
functions differ in what they support. A model that does not fit one of these gives other numbers without any
error. So each way of running a model is compared at load with the plain one: single rows, without mask or
cache, in eager attention. That costs a few short forward passes and needs no list of architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch

from core.errors import EngineError, type_and_first_line
from core.libraries import is_out_of_memory
from core.notices import note
from core.records import Sampling
from engines.hf.decoding import DecodingBatch, DecodingRow, next_token_logprobs
from engines.hf.loading import takes_packed_rows
from engines.hf.packing import attends_only
from engines.hf.prefixes import PrefixStore
from engines.hf.sampling import wide

EAGER = "eager"
"""transformers' attention in plain tensor operations, which has all that a model asks for."""
TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-3}
"""Largest difference due to rounding in nats, as the mean over a row's tokens. Another computation differs by
far more, except on nearly equal tokens."""
NARROW_TOLERANCE = 0.5
"""The same in bfloat16 and float16."""
_LENGTHS = (11, 3, 6)
"""Tokens of the prompts: different, so that two of them are padded. The last joins the others later."""
NEW_TOKENS = (2, 3, 2)
"""Tokens that are drawn for each prompt: different, so that rows leave the batch while others stay."""
_PROBE_BYTES = 2**30
"""Bound on what the check stores of its few tokens; no model comes near it."""
_ADAPTER_STD = 0.05
"""Standard deviation of an acting adapter's B: it changes a weight matrix by about a tenth of its norm."""
_BEST = 8
"""Tokens whose log-probabilities are compared where one of several is to be chosen."""
DECODING, SCORING = "batched decoding", "scoring in a batch"
"""Ways of running a model, as they are named in messages."""
_ACCEPTED = "a decoder whose results depend on no padding and no other row, or engine.kind=vllm for inference"
FAILURES = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, AssertionError)
"""Exceptions of architectures that cannot be run in some way."""


def probe_rows(model: Any, lengths: Sequence[int] = _LENGTHS) -> list[tuple[int, ...]]:
    """Return rows of token ids of the given lengths, spread over the model's vocabulary."""
    size = model.config.get_text_config().vocab_size
    return [tuple((7919 * i + 104729 * n + 5) % size for i in range(n)) for n in lengths]


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Run a model in eager attention within the block, if its attention can be chosen."""
    before = model.config._attn_implementation
    if before == EAGER or not model._can_set_attn_implementation():
        yield
        return
    model.set_attn_implementation(EAGER)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def plain_logprobs(model: Any, rows: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Return log-probabilities (T, V) in nats after each token of each row: single rows, eager attention."""
    found = []
    with eager_attention(model), torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0]
            found.append(wide(logits).log_softmax(dim=-1))
    return found


def continuation_logprobs(
    model: Any, prompts: Sequence[tuple[int, ...]], answers: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """Return the log-probabilities (A,) in nats of each prompt's answer, computed by `plain_logprobs`."""
    rows = [(*prompt, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
    found = plain_logprobs(model, rows)
    return [_of_answer(*parts) for parts in zip(found, prompts, answers, strict=True)]


def _of_answer(after: torch.Tensor, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Return the log-probabilities (A,) of an answer, given those (T, V) after each token of its row."""
    ids = torch.tensor(answer, device=after.device)[:, None]
    return after[len(prompt) - 1 : -1].gather(-1, ids)[:, 0]


def require_inference(model: Any, name: str) -> bool:
    """Raise EngineError if decoding or scoring in a batch differs from single rows.

    A model whose attention function is at fault gets eager attention instead.

    Args:
        model: a causal language model in evaluation mode.
        name: the model's name, for the message.

    Returns:
        True if the model takes packed rows, so that prompts share the computation of their prefixes.
    """

    def check(*, packed: bool = False) -> None:
        rows = decoded_rows(model, name, packed=packed)
        with one_line(model, SCORING, name):
            scored = next_token_logprobs(model, [row.prompt for row in rows], packed=packed)
            after = plain_logprobs(model, [(*row.prompt, *row.tokens) for row in rows])
        pairs = list(zip(after, rows, strict=True))
        expected = [_of_answer(found, row.prompt, row.tokens) for found, row in pairs]
        require_equal(model, DECODING, drawn_logprobs(rows), expected, name)
        # Likely tokens are those that are asked for. Those far down the tail round more.
        best = [found[len(row.prompt) - 1].topk(_BEST) for found, row in pairs]
        found = [mine[top.indices] for mine, top in zip(scored, best, strict=True)]
        require_equal(model, SCORING, found, [top.values for top in best], name)

    if takes_packed_rows(model) and attends_only(model.config):
        with suppress(EngineError):  # then in padded rows, as any model
            check(packed=True)
            return True
    with_right_attention(model, name, check)
    return False


def with_right_attention(model: Any, name: str, check: Callable[[], None]) -> None:
    """Run a check; if it fails, switch the model to eager attention for good and run it again."""
    try:
        check()
    except EngineError:
        if model.config._attn_implementation == EAGER or not model._can_set_attn_implementation():
            raise
        model.set_attn_implementation(EAGER)
        check()
        note(f"{name}: {type_name(model)} needs eager attention, which is slower")


def decoded_rows(model: Any, name: str, *, packed: bool = False) -> list[DecodingRow]:
    """Return short answers drawn in a batch, with the log-probabilities of their tokens.

    Args:
        model: a causal language model in evaluation mode.
        name: the model's name, for the message.
        packed: pack the prompts, and let the last continue a finished row from its keys and values.

    Raises:
        EngineError: if the model cannot be decoded in a batch.
    """
    with one_line(model, DECODING, name):
        *rows, last = [
            DecodingRow(ids, Sampling(max_new_tokens=new), seed)
            for seed, (ids, new) in enumerate(zip(probe_rows(model), NEW_TOKENS, strict=True))
        ]
        store = PrefixStore(_PROBE_BYTES) if packed else None
        batch = DecodingBatch(model, frozenset(), lambda _: "", record_logprobs=True, prefixes=store)
        _decode(batch, rows, last)
    return [*rows, last]


def drawn_logprobs(rows: Sequence[DecodingRow]) -> list[torch.Tensor]:
    """Return the recorded log-probabilities (A,) of each row's tokens, in nats."""
    return [torch.tensor(row.logprobs) for row in rows]


def plain_logprobs_of(model: Any, rows: Sequence[DecodingRow], name: str) -> list[torch.Tensor]:
    """Return the log-probabilities (A,) of each row's tokens, in nats, computed by `plain_logprobs`."""
    with one_line(model, "single rows without a cache", name):
        return continuation_logprobs(model, [row.prompt for row in rows], [row.tokens for row in rows])


def _decode(batch: DecodingBatch, rows: Sequence[DecodingRow], last: DecodingRow) -> None:
    """Decode all rows; the last is admitted when the first has finished, with what is left of the others."""
    batch.admit(rows)
    while rows[0].finish_reason is None and not rows[0].failed:
        batch.step()
    if batch.stores_prefixes:
        last.prompt = (*rows[0].prompt, *rows[0].tokens, *last.prompt)
    while not batch.can_join:
        batch.step()
    batch.admit([last])
    while batch.rows:
        batch.step()


@contextmanager
def one_line(model: Any, how: str, name: str, accepted: str = _ACCEPTED) -> Iterator[None]:
    """Turn the exceptions of an architecture that cannot be run in some way into an EngineError."""
    try:
        yield
    except FAILURES as error:
        if isinstance(error, EngineError) or is_out_of_memory(error):
            raise
        raise EngineError(
            f"{type_name(model)} does not support {how} ({type_and_first_line(error)})",
            where=name,
            accepted=accepted,
        ) from error


def require_equal(
    model: Any,
    how: str,
    found: Sequence[torch.Tensor],
    expected: Sequence[torch.Tensor],
    name: str,
    tolerance: float = NARROW_TOLERANCE,
    accepted: str = _ACCEPTED,
) -> None:
    """Raise EngineError if log-probabilities or scores differ by more than rounding.

    Args:
        model: the model, whose data type decides what rounding is.
        how: the way of running it, for the message.
        found: values by row, computed that way.
        expected: the same by single rows in eager attention.
        name: the model's name, for the message.
        tolerance: largest difference that is accepted as rounding, whatever the data type.
        accepted: what to use instead, for the message.
    """
    pairs = zip(found, expected, strict=True)
    apart = max(float((wide(mine.cpu()) - wide(theirs.cpu())).abs().mean()) for mine, theirs in pairs)
    # Negated, so that a difference of NaN is refused too.
    if not apart <= min(tolerance, tolerance_of(model)):
        raise EngineError(
            f"{type_name(model)} gives other results in {how} than for single rows "
            f"(they differ by {apart:.2g} on average)",
            where=name,
            accepted=accepted,
        )


def tolerance_of(model: Any) -> float:
    """Return the largest difference that rounding makes in the precision in which a model is run."""
    if torch.is_autocast_enabled(model.device.type):
        return NARROW_TOLERANCE
    return TOLERANCE.get(model.dtype, NARROW_TOLERANCE)


@contextmanager
def acting_adapter(model: Any) -> Iterator[None]:
    """Run a model in evaluation mode within the block, and give new LoRA adapters random weights.

    A new adapter changes nothing, and would hide a module in which one way of running the model misses it.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # a new adapter's dropout would be on
    fresh = [
        weight.data
        for name, weight in model.named_parameters()
        if ".lora_B." in name and not weight.data.any()
    ]
    generator = torch.Generator().manual_seed(0)  # the global one decides the training
    for weight in fresh:
        weight.copy_(_ADAPTER_STD * torch.randn(weight.shape, generator=generator))
    try:
        yield
    finally:
        for weight in fresh:
            weight.zero_()
        for module, mode in modes:
            module.training = mode


def type_name(model: Any) -> str:
    """Return the name of a model's class, without a wrapper for adapters."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(plain).__name__
