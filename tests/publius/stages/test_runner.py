"""What a run refuses before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError, MissingExtraError, PubliusError
from publius.stages.runner import RunRequest, execute
from tests.publius.trainable import write_trainable


@pytest.mark.parametrize(
    ("setting", "kind", "where"),
    [
        ("engine.device_map=auto", ConfigError, "engine.device_map"),
        ('optim.report_to=["trackio"]', MissingExtraError, "optim.report_to"),
    ],
)
def test_an_impossible_training_is_refused_before_anything_is_generated(
    setting: str, kind: type[PubliusError], where: str, tiny_folder: Path, tmp_path: Path
):
    run_file = write_trainable(tmp_path, tiny_folder)
    with pytest.raises(kind, match=f"^{where}: "):
        execute(RunRequest(run_file, overrides=(setting,)))
    assert not list(tmp_path.glob("runs/*/traces.jsonl"))
