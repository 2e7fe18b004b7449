"""Trained judges in an audit by tenet: they rate, abstain on kinds, and show their own figures."""

from __future__ import annotations

from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig
from engines.protocols import Engine
from engines.scripted import ScriptedEngine
from evaluation.tenets.record import ModelAudit
from publius.audit.tenets.auditing import audit_model
from publius.audit.tenets.subjects import ModelAuditRequest
from publius.runs.engines import make_engine
from tests.publius.judges import model_of_bytes, write_judge

RULES = """name: t
principles:
  - {id: kind, text: The reply is kind.}
  - {id: brief, text: The reply has at most 10 words.}
"""
SCENARIOS = "constitution: t\nscenarios:\n" + "".join(
    f"  - {{tenet: {tenet}, kind: benign, user: Question {n}?}}\n"
    for tenet in ("kind", "brief")
    for n in range(3)
)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any) -> ModelAudit:
    folder = tmp_path_factory.mktemp("judged")
    judge = write_judge(folder / "judge", model_of_bytes(folder / "bytes", tiny_model, tiny_tokenizer))
    (folder / "c.yaml").write_text(RULES)
    (folder / "s.yaml").write_text(SCENARIOS)

    def make(model: ModelConfig, engine: EngineConfig) -> Engine:
        return make_engine(model, engine) if model.id == str(judge) else ScriptedEngine(model=model.id)

    request = ModelAuditRequest(
        ("polite",), folder / "s.yaml", folder / "audit", str(folder / "c.yaml"), str(judge)
    )
    audit = audit_model(request, make).audit
    assert audit is not None
    return audit


def test_a_trained_judge_rates_and_shows_its_figures(audited: ModelAudit):
    assert audited.of("kind", "polite").scenarios == 3
    assert audited.judge is not None
    assert audited.judge.trained is not None
    assert audited.judge.trained["pairs"]["accuracy"] == 0.8
    assert not any("not audited" in warning for warning in audited.judge.warnings)


def test_a_tenet_of_a_kind_on_which_it_abstains_is_not_rated(audited: ModelAudit):
    brief = next(tenet for tenet in audited.tenets if tenet.tenet == "brief")
    assert brief.abstained == "the judge abstains on principles of the kind max_words"
    assert brief.variants[0].rate is None
    assert audited.variants[0].replies == 3
