"""Labels by vLLM are those of the transformers engine, in every mode that vLLM runs."""

from __future__ import annotations

import pytest

from engines.hf.engine import TransformersEngine
from engines.vllm.engine import VllmEngine
from engines.vllm.setup import install_vllm, vllm_device
from tests.labelers.modes.same_labels import SETTINGS, labels, pairs, require_same_labels

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.long,
    pytest.mark.skipif(
        vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}"
    ),
]
_PAIRS = 8


@pytest.mark.parametrize("mode", SETTINGS)
def test_labels_by_vllm_are_those_of_transformers(
    mode: str, vllm_engine: VllmEngine, embedded_engine: TransformersEngine
):
    found = pairs(_PAIRS)
    theirs, ours = labels(vllm_engine, mode, found), labels(embedded_engine, mode, found)
    require_same_labels(theirs, ours, compared=_PAIRS - _PAIRS // 8)
