"""Preference pairs to token ids: what can be trained on, what is cut, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import ConfigError, RequestError
from engines.loading import context_tokens, locate
from engines.tokenization import TurnEncoder
from training.config import OptimConfig
from training.examples import EncodedPair, ExcludedExample, PreferencePair, encode_pair
from training.job import TrainingJob, TrainingResult

TOO_MANY_TOKENS = "longer than optim.max_length"


@dataclass
class EncodedPairs:
    """The pairs of a data set that can be used, and an account of the others."""

    rows: list[EncodedPair] = field(default_factory=list)
    left_out: list[ExcludedExample] = field(default_factory=list)
    truncated: int = 0
    """Pairs whose prompt was cut from the left to fit."""


def encode_pairs(
    pairs: Sequence[PreferencePair],
    encoder: TurnEncoder,
    optim: OptimConfig,
    objection: Callable[[PreferencePair], ExcludedExample | None],
) -> EncodedPairs:
    """Return the pairs as token ids.

    Args:
        pairs: the data set.
        encoder: of the model that is trained.
        optim: how long a pair may be, and what happens to a longer one.
        objection: returns why a training cannot use a pair, or None if it can.
    """
    encoded = EncodedPairs()
    for pair in pairs:
        reason = objection(pair)
        if reason is not None:
            encoded.left_out.append(reason)
            continue
        try:
            row = encode_pair(encoder, pair)
        except RequestError as error:
            encoded.left_out.append(ExcludedExample(pair.id, error.reason, error.detail))
            continue
        _take(row, optim, encoded)
    return encoded


def require_context(job: TrainingJob, rows: Sequence[Sized]) -> None:
    """Raise ConfigError where an example is longer than the model can read: its positions end there."""
    context, longest = context_tokens(locate(job.policy)), max(map(len, rows), default=0)
    if context is not None and longest > context:
        raise ConfigError(
            f"the model reads at most {context:,} tokens, and an example has {longest:,}",
            where=f"optim.max_length={job.optim.max_length}",
            accepted=f"optim.max_length={context} or less, by which longer examples are left out or cut",
        )


def result_of(
    job: TrainingJob, figures: Mapping[str, Any], data: EncodedPairs, held_out: EncodedPairs
) -> TrainingResult:
    """Return the result of a training on pairs with the figures that `fit` returned."""
    return TrainingResult.of(
        job.folder,
        figures,
        all_undecided(data.rows),
        examples=len(data.rows),
        held_out=len(held_out.rows),
        left_out=(*data.left_out, *held_out.left_out),
        truncated=data.truncated + held_out.truncated,
        tokens=sum(row.packed_tokens for row in data.rows),
    )


def _take(row: EncodedPair, optim: OptimConfig, encoded: EncodedPairs) -> None:
    """Add a pair, cut if it must and may be, or say that it is too long."""
    if len(row) <= optim.max_length:
        encoded.rows.append(row)
        return
    room = optim.max_length - max(len(row.chosen.answer_ids), len(row.rejected.answer_ids))
    if optim.overlong == "drop" or room < 1:
        encoded.left_out.append(ExcludedExample(row.id, TOO_MANY_TOKENS, f"{len(row)} tokens"))
        return
    encoded.truncated += 1
    chosen, rejected = (side.with_prompt_cut(room) for side in (row.chosen, row.rejected))
    encoded.rows.append(replace(row, chosen=chosen, rejected=rejected))


def all_undecided(rows: Sequence[EncodedPair]) -> tuple[str, ...]:
    """Return the warning that no label prefers either answer, if that is so."""
    if any(row.p_chosen != 0.5 for row in rows):
        return ()
    return ("every label is one half: the training learns only that the answers are equally good",)
