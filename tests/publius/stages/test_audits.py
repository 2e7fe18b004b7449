"""Runs and the audits of their labelers: what is warned of, and what reaches the cards."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from engines.config import ModelsConfig
from evaluation.judges.certificate import CERTIFICATE, read_certificate
from publius.audit.labeler import run_audit
from publius.audit.settings import AuditRequest
from publius.runs.dataset import export_run
from publius.runs.manifest import read_manifest
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.parts.audited import audit_of, other_wording
from publius.runs.reader import RunReader
from publius.stages.judges.audits import warn_about_families
from publius.stages.runner import RunRequest, execute
from publius.views.looking.reading import read_overview
from tests.publius.projects import RUN, Recorder, write_project

SERVED = RUN.replace("kind: scripted", "kind: transformers")
"""Recorder gives scripted engines whatever the kind is: this one is warned about."""


def run(project: Path, make: Recorder | None = None, **request: Any) -> Path:
    path = project / "run.yaml"
    if not path.exists():
        write_project(project, prompts=4, run=SERVED)
    return execute(RunRequest(path, **request), make or Recorder()).folder


def audit(project: Path, **request: Any) -> Path:
    gold = project / "gold.jsonl"
    rows = [{"prompt": f"Q{n}?", "chosen": f"one {n}", "rejected": f"two {n}"} for n in range(40)]
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields: dict[str, Any] = {"source": str(project / "run.yaml"), "gold": [str(gold)], "compare": False}
    return run_audit(AuditRequest(**(fields | request)), Recorder()).folder


def read_digest(path: Path) -> str:
    certificate = read_certificate(path)
    assert certificate is not None
    return certificate.audited[0].labeler.digest


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_unaudited_labeler_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    run(tmp_path)
    (warning,) = [text for text in messages(caplog) if text.startswith("unaudited")]
    assert "some-model (choice)" in warning
    assert "publius audit labeler RUN.yaml --gold FILE" in warning


def test_problems_of_the_audit_are_the_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_project(tmp_path, prompts=4, run=SERVED)
    folder = audit(tmp_path)  # a labeler that draws its answers by hash
    caplog.clear()
    run(tmp_path)
    found = [text for text in messages(caplog) if "audit" in text]
    assert any(str(folder) in text and "from chance on 40 comparisons" in text for text in found)
    assert not any(text.startswith("unaudited") for text in found)


def test_audit_of_another_mode_is_no_audit_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_project(tmp_path, prompts=4, run=SERVED)
    audit(tmp_path, overrides=["label.mode=pointwise"])
    caplog.clear()
    run(tmp_path)
    assert any(text.startswith("unaudited") for text in messages(caplog))


def test_edited_constitution_and_more_principles_keep_the_audit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_project(tmp_path, prompts=4, run=SERVED)
    audit(tmp_path)
    text = (tmp_path / "constitution.yaml").read_text()
    (tmp_path / "constitution.yaml").write_text(text.replace("plain words", "short words"))
    caplog.clear()
    run(tmp_path, overrides=["label.principles=1"])
    assert not any(text.startswith("unaudited") for text in messages(caplog))


@pytest.mark.parametrize("override", ["label.principles=0", "engine.kind=scripted"])
def test_nothing_is_said_where_no_model_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, override: str
):
    run(tmp_path, overrides=[override])
    assert not any("audit" in text for text in messages(caplog))


def test_audit_reaches_manifest_and_card_of_the_data_set(tmp_path: Path):
    folder = run(tmp_path)
    export_run(folder, tmp_path / "before")
    assert "The labeler was not audited" in (tmp_path / "before" / "README.md").read_text()
    certificate = audit(tmp_path) / CERTIFICATE
    assert run(tmp_path) == folder  # the audit is no part of the run's identity
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["audit"]["labeler"] == read_digest(certificate)
    export_run(folder, tmp_path / "after")
    card = (tmp_path / "after" / "README.md").read_text()
    assert "`some-model` (choice) was audited on" in card
    assert "on gold labels of `gold.jsonl`" in card
    assert "| accuracy |" in card
    assert "- Problem: accuracy" in card


def test_an_audit_under_another_wording_is_said_by_card_export_show_and_report(tmp_path: Path):
    folder = run(tmp_path)
    audit(tmp_path)
    assert not export_run(folder, tmp_path / "same").audited_otherwise
    text = (tmp_path / "constitution.yaml").read_text()
    (tmp_path / "constitution.yaml").write_text(text.replace("plain words", "short words"))
    certificate = read_certificate(audit(tmp_path) / CERTIFICATE)  # replaces the first
    assert certificate is not None
    own = read_manifest(folder)["identity"]["constitution"]
    said = (
        "The labeler was audited under another wording of the constitution "
        f"(digest {certificate.constitution_digest[:16]}, and {own[:16]} of this run): "
        "how often it is right under these rules was not measured."
    )
    assert export_run(folder, tmp_path / "data").audited_otherwise == said
    card = (tmp_path / "data" / "README.md").read_text()
    assert said.replace("(", "").replace(")", "") in card.replace("(", "").replace(")", "").replace("\\", "")
    assert f"under the constitution small (digest `{certificate.constitution_digest[:16]}`)" in card
    assert said in read_overview(folder, PreferenceFilter(), 3).small_print
    with RunReader(folder) as reader:
        reader.manifest["audit"] = audit_of(folder, reader.manifest)
        assert other_wording(reader.manifest) == said


@pytest.mark.parametrize("mode", ["choice", "pointwise", "rating"])
def test_an_audit_after_the_run_is_on_the_card_without_a_further_run(tmp_path: Path, mode: str):
    overrides = [f"label.mode={mode}"]
    folder = run(tmp_path, overrides=overrides)
    audit(tmp_path, overrides=[f"label.mode={'choice' if mode == 'pointwise' else 'pointwise'}"])
    assert export_run(folder, tmp_path / "other").is_unaudited
    certificate = audit(tmp_path, overrides=overrides) / CERTIFICATE
    recorded = (folder / "manifest.json").read_bytes()
    assert audit_of(folder, read_manifest(folder))["labeler"] == read_digest(certificate)
    assert not export_run(folder, tmp_path / "after").is_unaudited
    assert f"`some-model` ({mode}) was audited on" in (tmp_path / "after" / "README.md").read_text()
    overview = read_overview(folder, PreferenceFilter(), 3)
    assert any(line.startswith("The audit of the labeler found a problem") for line in overview.small_print)
    assert (folder / "manifest.json").read_bytes() == recorded
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert audit_of(moved, read_manifest(moved)) == {}


def test_card_of_checks_alone_says_nothing_of_a_labeler(tmp_path: Path):
    folder = run(tmp_path, overrides=["label.principles=0"])
    export_run(folder, tmp_path / "out")
    assert "Audit of the labeler" not in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("models", "pairs"),
    [
        ({"policy": "Qwen/Qwen3-8B"}, []),
        ({"policy": "Qwen/Qwen3-8B", "labeler": "Qwen/Qwen3-32B"}, []),
        ({"policy": "Qwen/Qwen3-8B", "judge": "Qwen/Qwen3-32B"}, ["judge and labeler"]),
        ({"policy": "x", "labeler": "gpt-5", "judge": "o3"}, ["judge and labeler"]),
        ({"policy": "x", "labeler": "y", "critic": "gpt-5", "judge": "o3"}, ["judge and critic"]),
        ({"policy": "x", "labeler": "gpt-5", "critic": "gpt-4"}, ["labeler and critic"]),
        ({"policy": "x", "labeler": "mixtral", "judge": "microsoft/phi-4"}, []),
    ],
)
def test_models_of_one_family_are_warned_of(
    models: dict[str, str], pairs: list[str], caplog: pytest.LogCaptureFixture
):
    config = ModelsConfig.model_validate({role: {"id": name} for role, name in models.items()})
    warn_about_families(config)
    assert [text.partition(" are of")[0] for text in messages(caplog)] == pairs


def test_nothing_is_said_of_a_labeler_that_no_principle_is_asked_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    checked = "name: c\nprinciples: [{id: short, text: Short., check: {kind: max_words, value: 12}}]\n"
    write_project(tmp_path, prompts=4, constitution=checked)
    run(tmp_path)
    assert not any("self-labelled" in text for text in messages(caplog))
    caplog.clear()
    write_project(tmp_path, prompts=4)
    run(tmp_path)
    assert any("self-labelled" in text for text in messages(caplog))
