"""The rule by which tiers make up a label: recorded when a run begins, and kept when it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.records import Preference
from labelers.crowd.aggregate import TierRule, aggregate, settle_by_tier
from publius.runs.reader import RunReader
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, RUN, Recorder, write_project

pytestmark = pytest.mark.usefixtures("own_cache")
TIERS = CONSTITUTION.replace("{id: plain,", "{id: plain, hard: true,")
ALL = RUN.replace("{principles: 2}", "{principles: 3}")


def labels(folder: Path) -> dict[str, float]:
    with RunReader(folder) as run:
        return {p.comparison_id: p.p_chosen for p in run.preferences}


def expected(folder: Path, rule: TierRule) -> dict[str, float]:
    """The labels by a rule, from the run's recorded judgments."""
    with RunReader(folder) as run:
        found = (
            aggregate(
                comparison,
                run.judgments.children(comparison.id),
                run.constitution,
                lambda comparison, opinions: settle_by_tier(comparison, opinions, rule),
            )
            for comparison in run.comparisons
        )
        return {p.comparison_id: p.p_chosen for p in found if isinstance(p, Preference)}


def test_older_run_keeps_its_tier_rule_and_a_new_one_records_its_own(tmp_path: Path):
    request = RunRequest(write_project(tmp_path, 40, ALL, TIERS), stages=("critique", "compare", "label"))
    folder = execute(request, Recorder()).folder
    smooth, first = expected(folder, "smooth"), expected(folder, "first")
    assert len(smooth) > 10
    assert smooth != first
    assert labels(folder) == smooth
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("tiers") == "smooth"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert execute(request, Recorder()).folder == folder
    assert labels(folder) == first
    assert "tiers" not in json.loads((folder / "manifest.json").read_text())
