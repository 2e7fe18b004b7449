"""Families of models by name."""

from __future__ import annotations

import pytest

from evaluation.judges.families import families_of, shared_families


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen/Qwen3-32B-FP8", "qwen"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama"),
        ("mistralai/Mixtral-8x7B-v0.1", "mistral"),
        ("microsoft/phi-4", "phi"),
        ("gpt-5-mini", "gpt"),
        ("o3", "gpt"),
        ("smollm2-135m-instruct", "smollm"),
        ("claude-sonnet-4", "claude"),
    ],
)
def test_names_tell_the_family(model: str, family: str):
    assert families_of(model) == {family}


def test_distilled_models_belong_to_both():
    assert families_of("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B") == {"deepseek", "qwen"}
    assert shared_families("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "Qwen/Qwen3-8B") == ("qwen",)


def test_unknown_models_share_only_their_own_name():
    assert families_of("acme/judge-v2") == frozenset()
    assert shared_families("acme/judge-v2", "acme/judge-v3") == ()
    assert shared_families("acme/judge-v2", "acme/judge-v2") == ("acme/judge-v2",)
