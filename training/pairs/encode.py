"""Encode preference pairs as token ids; cut or exclude those that are too long or unusable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import ConfigError, RequestError
from engines.encoding.truncation import fit_prompt
from engines.loading import context_tokens, locate
from engines.tokenization import TurnEncoder
from training.config import OptimConfig
from training.examples import (
    EncodedPair,
    ExcludedExample,
    PreferencePair,
    encode_pair,
    holds_rendering,
    note_renderings,
)
from training.job import TrainingJob, TrainingResult

TOO_MANY_TOKENS = "longer than optim.max_length"


@dataclass
class EncodedPairs:
    """Encoded pairs of a data set, and the excluded ones."""

    rows: list[EncodedPair] = field(default_factory=list)
    excluded: list[ExcludedExample] = field(default_factory=list)
    truncated: int = 0
    """Number of pairs whose prompt was shortened to fit."""


def encode_pairs(
    pairs: Sequence[PreferencePair],
    encoder: TurnEncoder,
    optim: OptimConfig,
    objection: Callable[[PreferencePair], ExcludedExample | None],
) -> EncodedPairs:
    """Encode pairs as token ids.

    Args:
        pairs: the data set.
        encoder: the encoder of the trained model.
        optim: the maximum length of a pair, and the treatment of longer ones.
        objection: returns why training cannot use a pair, or None if it can.
    """
    encoded, rendered = EncodedPairs(), 0
    for pair in pairs:
        reason = objection(pair)
        if reason is not None:
            encoded.excluded.append(reason)
            continue
        try:
            _take(pair, encoder, optim, encoded)
        except RequestError as error:
            encoded.excluded.append(ExcludedExample(pair.id, error.reason, error.detail))
            continue
        rendered += holds_rendering(encoder, pair)
    note_renderings(rendered, len(pairs))
    return encoded


def require_context(job: TrainingJob, rows: Sequence[Sized]) -> None:
    """Raise ConfigError if an example is longer than the model's context."""
    context, longest = context_tokens(locate(job.policy)), max(map(len, rows), default=0)
    if context is not None and longest > context:
        raise ConfigError(
            f"the model's context has {context:,} tokens, but an example has {longest:,}",
            where=f"optim.max_length={job.optim.max_length}",
            accepted=f"optim.max_length={context} or less; longer examples are then excluded or cut",
        )


def result_of(
    job: TrainingJob, outcome: Mapping[str, Any], data: EncodedPairs, held_out: EncodedPairs
) -> TrainingResult:
    """Return the result of training on pairs, given the mapping that `fit` returned."""
    return TrainingResult.of(
        job.folder,
        outcome,
        all_undecided(data.rows),
        examples=len(data.rows),
        held_out=len(held_out.rows),
        excluded=(*data.excluded, *held_out.excluded),
        truncated=data.truncated + held_out.truncated,
        tokens=sum(row.packed_tokens for row in data.rows),
    )


def _take(pair: PreferencePair, encoder: TurnEncoder, optim: OptimConfig, encoded: EncodedPairs) -> None:
    """Add a pair, shorten its prompt if it is too long and may be shortened, or exclude it."""
    row: EncodedPair | None = encode_pair(encoder, pair)
    assert row is not None
    tokens = len(row)
    if tokens > optim.max_length:
        row = None
        if optim.overlong == "truncate" and not holds_rendering(encoder, pair):
            # The same prompt for both sides: they must share it to be packed, and to be comparable.
            row = fit_prompt(
                pair.prompt,
                optim.max_length,
                lambda prompt: encode_pair(encoder, replace(pair, prompt=prompt)),
            )
        if row is None:
            encoded.excluded.append(ExcludedExample(pair.id, TOO_MANY_TOKENS, f"{tokens} tokens"))
            return
        encoded.truncated += 1
    encoded.rows.append(row)


def all_undecided(rows: Sequence[EncodedPair]) -> tuple[str, ...]:
    """Return a warning if no label prefers either answer."""
    if any(row.p_chosen != 0.5 for row in rows):
        return ()
    return ("every label is 0.5: training can only learn that the answers are equally good",)
