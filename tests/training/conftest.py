"""Trainings of tiny models, one after the other in one process, with nothing repeated in vain."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread_and_little_garbage() -> Iterator[None]:
    """Run on one thread, and keep what the libraries hold for good out of garbage collection.

    Tiny models gain nothing from a second thread, and where a core is busy lose several times their time.
    Each training asks for two collections, which would go through all that was imported.
    """
    import torch

    for name in ("peft", "transformers.trainer"):
        importlib.import_module(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
