"""Training jobs: defaults that depend on the device, and the digests of results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.jobs import job
from training.config import OptimConfig
from training.job import CPU_MICRO_TOKENS, TrainingJob

GPU_DEFAULT = OptimConfig().micro_tokens


@pytest.fixture
def plain(tiny_folder: Path, tmp_path: Path) -> TrainingJob:
    return job("dpo", tmp_path, str(tiny_folder), optim=OptimConfig())


def tokens_of(own: TrainingJob, device: str, **settings: int) -> int:
    return replace(own, optim=OptimConfig(**settings), device=device).optim.micro_tokens


def test_micro_batches_are_smaller_on_a_cpu_unless_they_are_set(
    plain: TrainingJob, monkeypatch: pytest.MonkeyPatch
):
    assert tokens_of(plain, "cpu") == CPU_MICRO_TOKENS < GPU_DEFAULT
    assert tokens_of(plain, "cpu", batch_size=7) == CPU_MICRO_TOKENS
    assert tokens_of(plain, "cpu", micro_tokens=GPU_DEFAULT) == GPU_DEFAULT
    monkeypatch.setattr("training.job.pick_device", lambda device: "cuda")
    assert tokens_of(plain, "auto") == GPU_DEFAULT


def test_the_default_on_a_cpu_has_the_digest_of_older_results(plain: TrainingJob):
    # Older versions took 2,048 tokens on every device, which differs by rounding only.
    def digest(**settings: int) -> str:
        return replace(plain, optim=OptimConfig(**settings)).digest((1, 2), ())

    assert plain.digest((1, 2), ()) == digest() == digest(micro_tokens=2048)
    assert digest(micro_tokens=1024) != digest()
