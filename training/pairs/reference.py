"""Log-probabilities of all pairs under the reference, computed once and kept beside the checkpoints."""

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
from training.packed import PolicyScorer
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
    """Return the pairs with the log-probabilities of both answers, in nats, under the policy as it is now.

    A process that goes on reads what the first one wrote: the very same numbers.

    Args:
        policy: the policy before its first step, which is the reference.
        scorer: how its log-probabilities are computed.
        pairs: encoded pairs.
        folder: where the numbers are kept.
        tokens: that go through the model together.
        bf16: whether mixed precision is on.
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
    """Return (B, 2) log-probabilities on the CPU; each process does its share of the pairs."""
    device = next(policy.parameters()).device
    wide = torch.float64 if next(policy.parameters()).dtype == torch.float64 else torch.float32
    logprobs = torch.zeros(len(pairs), 2, dtype=wide, device=device)
    own = range(rank(), len(pairs), world_size())
    policy.eval()
    with (
        progress("reference", len(own)) if is_main() else nullcontext() as task,
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        for group in micro_batches([pairs[index].packed_tokens for index in own], tokens):
            indices = [own[number] for number in group]
            found = scorer(policy, [pairs[index].tree for index in indices])
            logprobs[indices] = found.view(-1, 2).to(wide)
            if task is not None:
                task.advance(len(indices))
    if world_size() > 1:
        state()  # connects the processes
        torch.distributed.all_reduce(logprobs)
    return logprobs.cpu()
