from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.settings import OPERATIONAL
from engines.config import ROLES, EngineConfig, ModelConfig, ModelsConfig

POLICY, CRITIC, LABELER = ({"id": name} for name in ("p", "c", "l"))


@pytest.mark.parametrize(
    ("given", "critic", "labeler"),
    [
        ({}, "p", "p"),
        ({"critic": CRITIC}, "c", "p"),
        ({"critic": CRITIC, "labeler": "critic"}, "c", "c"),
        ({"labeler": "critic"}, "p", "p"),
        ({"critic": "policy", "labeler": "critic"}, "p", "p"),
        ({"critic": CRITIC, "labeler": LABELER}, "c", "l"),
        ({"labeler": LABELER}, "p", "l"),
    ],
)
def test_role_is_followed_to_its_model(given: dict[str, Any], critic: str, labeler: str):
    models = ModelsConfig.model_validate({"policy": POLICY, **given})
    assert [models.of(role).id for role in ("policy", "critic", "labeler")] == ["p", critic, labeler]


def test_judge_is_never_anyone_by_default():
    assert ModelsConfig(policy=ModelConfig(id="p")).judge is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"policy": POLICY, "critic": "labeler"},
        {"policy": POLICY, "labeler": "judge"},
        {"policy": POLICY, "judge": "policy"},
        {"policy": POLICY, "writer": POLICY},
        {"policy": {"id": ""}},
        {"policy": {"id": "p", "dtype": "int8"}},
        {"policy": {"id": "p", "trust_remote_code": True}},
    ],
)
def test_what_names_no_model_is_refused(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        ModelsConfig.model_validate(given)


def test_roles_are_the_fields_of_the_section():
    assert tuple(ModelsConfig.model_fields) == ROLES


def test_only_speed_and_memory_are_operational():
    marked = {
        name for name, field in EngineConfig.model_fields.items() if field.json_schema_extra == OPERATIONAL
    }
    assert marked == {
        "max_batch",
        "max_batch_tokens",
        "max_model_len",
        "gpu_memory_utilization",
        "kv_cache_gib",
        "concurrency",
        "gpus",
    }


@pytest.mark.parametrize("section", [ModelConfig, ModelsConfig, EngineConfig])
def test_every_field_has_a_help_text(section: type[ModelConfig | ModelsConfig | EngineConfig]):
    assert [name for name, field in section.model_fields.items() if not field.description] == []
