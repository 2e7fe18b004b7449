"""Log-probabilities of all pairs under the reference, computed once and kept beside the checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load_file, save

from core.files import write_atomic
from core.progress import progress
from training.checkpoints import TrainingFolder
from training.examples import EncodedPair
from training.logprobs import answer_logprobs, collate

_FILE = "reference.safetensors"


def reference_logprobs(
    policy: Any, pairs: Sequence[EncodedPair], folder: TrainingFolder, micro_batch: int, *, bf16: bool
) -> torch.Tensor:
    """Return (B, 2) log-probabilities in nats of chosen and rejected, in the order of the pairs, on the CPU.

    A process that goes on reads what the first one wrote: the very same numbers.
    """
    path = folder.checkpoints / _FILE
    if path.exists():
        return load_file(path)["logprobs"]
    device = next(policy.parameters()).device
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    logprobs = torch.empty(len(rows), dtype=torch.float64 if _is_double(policy) else torch.float32)
    policy.eval()
    with progress("reference", len(rows)) as task, torch.inference_mode():
        for start in range(0, len(order), 2 * micro_batch):
            indices = order[start : start + 2 * micro_batch]
            batch = collate([rows[index] for index in indices]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logprobs[indices] = answer_logprobs(policy, batch).to("cpu", logprobs.dtype)
            task.advance(len(indices))
    result = logprobs.clone().view(len(pairs), 2)
    write_atomic(path, save({"logprobs": result}))
    return result


def _is_double(policy: Any) -> bool:
    return bool(next(policy.parameters()).dtype == torch.float64)
