"""Reference log-probabilities of all pairs, computed once and saved with the checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load_file, save

from core.progress import progress
from core.store.files import write_atomic
from engines.trees import micro_batches
from training.checkpoints import TrainingFolder
from training.examples import EncodedPair
from training.packed import PolicyScorer, mixed_precision
from training.processes import is_main, rank, state, world_size

_FILE = "reference.safetensors"


def with_reference(
    policy: Any,
    scorer: PolicyScorer,
    pairs: Sequence[EncodedPair],
    folder: TrainingFolder,
    tokens: int,
    *,
    bf16: bool,
) -> list[EncodedPair]:
    """Return the pairs with the log-probabilities of both answers in nats, under the policy as it is now.

    A resumed job reads the saved values, so they are exactly the same.

    Args:
        policy: the policy before its first step, which is the reference.
        scorer: computes its log-probabilities.
        pairs: encoded pairs.
        folder: folder of the training, where the values are saved.
        tokens: maximum number of tokens per forward pass.
        bf16: True if mixed precision is on.
    """
    path = folder.checkpoints / _FILE
    if path.exists():
        logprobs = load_file(path)["logprobs"]
    else:
        logprobs = _computed(policy, scorer, pairs, tokens, bf16=bf16)
        if is_main():
            write_atomic(path, save({"logprobs": logprobs}))
    return [
        replace(pair, reference=(chosen, rejected))
        for pair, (chosen, rejected) in zip(pairs, logprobs.tolist(), strict=True)
    ]


def _computed(
    policy: Any, scorer: PolicyScorer, pairs: Sequence[EncodedPair], tokens: int, *, bf16: bool
) -> torch.Tensor:
    """Return the log-probabilities (B, 2) on the CPU; each process computes its share of the pairs."""
    device = next(policy.parameters()).device
    wide = torch.float64 if next(policy.parameters()).dtype == torch.float64 else torch.float32
    logprobs = torch.zeros(len(pairs), 2, dtype=wide, device=device)
    own = range(rank(), len(pairs), world_size())
    # As in training except for dropout: in the same precision, the divergence at step 0 is 0.
    policy.eval()
    with (
        progress("reference", len(own)) if is_main() else nullcontext() as task,
        torch.inference_mode(),
        mixed_precision(device, bf16=bf16),
    ):
        for group in micro_batches([pairs[index].packed_tokens for index in own], tokens):
            indices = [own[number] for number in group]
            found = scorer(policy, [pairs[index].tree for index in indices])
            logprobs[indices] = found.view(-1, 2).to(wide)
            if task is not None:
                task.advance(len(indices))
    if world_size() > 1:
        # Rows of other processes are 0 here, so the sum is the whole matrix.
        state()  # initialises torch.distributed
        torch.distributed.all_reduce(logprobs)
    return logprobs.cpu()
