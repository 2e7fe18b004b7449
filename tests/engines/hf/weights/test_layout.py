"""The memory of a model's weights after loading."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.loading import locate


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's maps in /proc")
def test_a_loaded_model_does_not_keep_its_file_in_memory(tiny_folder: Path):
    model = load_model(locate(ModelConfig(id=str(tiny_folder))), "float32", "cpu")
    assert next(model.parameters()).isfinite().all()
    assert str(tiny_folder / "model.safetensors") not in Path("/proc/self/maps").read_text()
