"""KL divergence of each variant from the base model, on the variant's own answers.

Computed by forward passes of the training code, not by the engines.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.progress import progress
from core.records import Answer
from engines.tokenization import TurnEncoder
from evaluation.config import BASE
from evaluation.measures import Series
from publius.runs.folder import Run
from publius.stages.quality.encoding import encoded_answer
from publius.stages.quality.losses import LossMeter
from training.examples import EncodedAnswer


def divergence_series(
    run: Run, encoder: TurnEncoder, meter: LossMeter, answers: Sequence[Answer]
) -> list[Series]:
    """Return KL(variant || base) per token, in nats, by prompt, for each variant other than base.

    It is measured on the variant's own answers. They are encoded again from their text, with the end-of-turn
    token if the model ended the answer itself. Empty answers have no value.
    """
    own: dict[str, dict[str, EncodedAnswer]] = {}
    by_base: dict[str, dict[str, EncodedAnswer]] = {}
    for answer in answers:
        if answer.variant != BASE and answer.generation.text:
            row = encoded_answer(run, encoder, answer.variant, answer)
            if row.answer_ids:  # a template may drop white space
                own.setdefault(answer.variant, {})[answer.prompt.id] = row
                seen = encoded_answer(run, encoder, BASE, answer)
                by_base.setdefault(answer.variant, {})[answer.prompt.id] = seen
    series = []
    with progress("eval kl", sum(map(len, own.values()))) as task:
        for variant, rows in own.items():
            task.note(f"how far the answers of {variant} are from base, by forward passes")
            values = meter.divergences(variant, rows, by_base[variant], task.advance)
            series.append(Series(variant, "kl", "nats", values))
    return series
