"""Memory of packed attention in one layer, by the kernels that CUDA takes: ours against one masked call.

    python benchmarks/attention.py --tokens 4096 --json out.json

A prompt with two answers is one row, with 32 query heads over 8 key-value heads in bfloat16. The peer is one
call of PyTorch's attention per prompt, with a mask and grouped heads, which on CUDA goes to the math kernel.
It is measured with that kernel, which is the same code on a CPU. Our calls go to CUDA's flash kernel (no
mask) or memory-efficient kernel (a mask, no groups). Neither stores attention weights, and nor does the CPU's
flash kernel, which replaces both here. The script fails if a call of ours would go to the math kernel.
(Rules: PyTorch, aten/src/ATen/native/transformers/cuda/sdp_utils.cpp.)

`kept` is what the forward pass stores for the backward pass, without its inputs; `peak` is the growth of a
process's resident memory over forward and backward pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PEERS = ("publius", "masked")
SHARES = (0.5, 0.25, 0.25)
"""Of prompt and answers in the row."""


def main() -> None:
    """Measure both in processes of their own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--groups", type=int, default=8, help="key-value heads")
    parser.add_argument("--width", type=int, default=128, help="of a head")
    parser.add_argument("--window", type=int, help="sliding window (ours only)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measured(options)))
        return
    found = {name: _alone(name) for name in PEERS}
    ours, masked = found.values()
    row = {
        "tokens": options.tokens,
        **{name: values for name, values in found.items()},
        "kept_ratio": ours["kept_mb"] / masked["kept_mb"],
        "peak_ratio": ours["peak_mb"] / masked["peak_mb"],
    }
    for name, values in found.items():
        print("{:<8} kept {kept_mb:8.1f} MB  peak {peak_mb:8.1f} MB  {seconds:6.2f} s".format(name, **values))
    print(f"ours / masked: kept {row['kept_ratio']:.3f}, peak {row['peak_ratio']:.3f}")
    if options.json:
        options.json.write_text(json.dumps(row, indent=2) + "\n")


def _alone(name: str) -> dict[str, float]:
    """Return the measures of a process that runs one peer."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def _measured(options: argparse.Namespace) -> dict[str, float]:
    """Return what one forward and backward pass keeps, its peak and its time."""
    if options.child == "publius":
        _refuse_math_kernel()
    _pass(options, 64)  # loads the kernels
    before, started = _status("VmRSS:"), time.perf_counter()
    kept = _pass(options, options.tokens)
    seconds = time.perf_counter() - started
    return {"kept_mb": kept / 1e6, "peak_mb": (_status("VmHWM:") - before) / 1e6, "seconds": seconds}


def _pass(options: argparse.Namespace, tokens: int) -> int:
    """Run forward and backward pass of a row; return the bytes kept in between, without the inputs."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from engines.hf.packing import pack, packed_attention
    from engines.trees import Tree

    prompt, *answers = (tuple(range(int(tokens * share))) for share in SHARES)
    tree = Tree(prompt, tuple(answers))
    generator = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(1, count, len(tree), options.width, generator=generator, dtype=torch.bfloat16)
        for count in (options.heads, options.groups, options.groups)
    ]
    storages = {part.requires_grad_().data_ptr(): 0 for part in parts}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if options.child == "publius":
            output = packed_attention(*parts, pack([tree]).blocks, None, options.window)
        else:
            with sdpa_kernel(SDPBackend.MATH):
                mask = _tree_mask([len(prompt), *map(len, answers)])
                output = torch.nn.functional.scaled_dot_product_attention(*parts, mask, enable_gqa=True)
    output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]
    return sum(storages.values())


def _tree_mask(lengths: Sequence[int]) -> Any:
    """Return the mask (T, T) of a prompt and its answers, as one call needs it."""
    import torch

    branch = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    same = (branch[None, :] == 0) | (branch[None, :] == branch[:, None])
    return torch.zeros(same.shape, dtype=torch.bfloat16).masked_fill_(~same.tril(), -torch.inf)


def _refuse_math_kernel() -> None:
    """Raise where a call has grouped heads and a mask, or heads wider than CUDA's flash kernel takes."""
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention

    def checked(query: Any, key: Any, value: Any, attn_mask: Any = None, **others: Any) -> Any:
        if query.shape[1] != key.shape[1] and (attn_mask is not None or query.shape[-1] > 256):
            raise AssertionError("CUDA would take the math kernel")
        return attend(query, key, value, attn_mask=attn_mask, **others)

    torch.nn.functional.scaled_dot_product_attention = checked


def _status(name: str) -> int:
    """Return a value of the process's memory in bytes."""
    return int(Path("/proc/self/status").read_text().partition(name)[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
