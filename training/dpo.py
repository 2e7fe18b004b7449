"""Direct preference optimization on pairs that carry a probability and a weight (`training/losses.py`).

The reference is the policy that training starts from. Its log-probabilities are computed once, before the
first step, with the very adapter that is then trained on, so that no second model is held and the divergence
from the reference is 0 at step 0, wherever training starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import RequestError
from core.lazy import require
from engines.tokenization import TurnEncoder
from training.checkpoints import TrainingFolder
from training.examples import EncodedPair, LeftOut, PreferencePair, encode_pair
from training.fit import TrainingJob, TrainingResult, fit, require_examples
from training.policy import EXTRA, load_encoder, load_policy


def train_dpo(
    pairs: Sequence[PreferencePair], job: TrainingJob, beta: float, min_margin: float
) -> TrainingResult:
    """Train the policy on the pairs, and return where its adapter is.

    An interrupted training of the same job goes on from its newest checkpoint; a finished one is found.

    Args:
        pairs: what to learn from.
        job: how, and where to.
        beta: strength of the tie to the reference.
        min_margin: pairs with `abs(p_chosen - 0.5)` below this are left out.

    Raises:
        DataError: if there are no pairs, or none that can be used.
        EngineError: if the model cannot be loaded or trained, or the loss is no number.
        MissingExtraError: if peft is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, EXTRA)
    encoder = load_encoder(job.policy)
    rows, left_out = _encode(pairs, encoder, job.optim.max_length, min_margin)
    require_examples(rows, left_out, "preferences")
    result = fit(job, job.digest(rows, beta), len(rows), _Maker(rows, job, beta))
    return TrainingResult(
        job.folder,
        len(rows),
        tuple(left_out),
        result["steps"],
        result["seconds"],
        sum(len(row.chosen) + len(row.rejected) for row in rows),
        result["metrics"],
    )


class _Maker:
    """Builds our trainer over pairs that are encoded already."""

    def __init__(self, rows: Sequence[EncodedPair], job: TrainingJob, beta: float) -> None:
        self._rows, self._job, self._beta = rows, job, beta

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        from transformers import TrainingArguments

        from training.dpo_trainer import SoftDPOTrainer
        from training.reference import reference_logprobs

        own = self._job
        policy = load_policy(own.policy, own.lora, own.device, own.seed, own.start)
        settings = TrainingArguments(**arguments)
        reference = reference_logprobs(policy, self._rows, folder, own.optim.micro_batch, bf16=settings.bf16)
        return SoftDPOTrainer(policy, settings, self._rows, reference, self._beta)


def _encode(
    pairs: Sequence[PreferencePair], encoder: TurnEncoder, max_length: int, min_margin: float
) -> tuple[list[EncodedPair], list[LeftOut]]:
    """Return the pairs that can be used, and the others with the reason."""
    rows: list[EncodedPair] = []
    left_out: list[LeftOut] = []
    for pair in pairs:
        if abs(pair.p_chosen - 0.5) < min_margin:
            left_out.append(LeftOut(pair.id, "less certain than dpo.min_margin", f"p = {pair.p_chosen:.3f}"))
            continue
        if not pair.chosen_finished:
            left_out.append(LeftOut(pair.id, "the chosen answer was cut before its end"))
            continue
        try:
            row = encode_pair(encoder, pair)
        except RequestError as error:
            left_out.append(LeftOut(pair.id, error.reason, error.detail))
            continue
        if len(row) > max_length:
            left_out.append(LeftOut(pair.id, "longer than optim.max_length", f"{len(row)} tokens"))
        else:
            rows.append(row)
    return rows, left_out
