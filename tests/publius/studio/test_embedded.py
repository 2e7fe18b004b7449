"""The bench with the embedded model: 8 pinned prompts, and what an edit asks of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studio import write_desk
from constitution.loader import read_constitution
from publius.runs.engines import make_engine
from publius.studio.bench.bench import Bench
from publius.studio.bench.workbench import Workbench
from publius.studio.project import StudioProject
from tests.publius.studio.opened import Shown

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_edit_asks_for_both_orders_of_the_touched_principle_and_nothing_else(tmp_path: Path):
    write_desk(tmp_path)
    project, shown = StudioProject.of(tmp_path), Shown()
    bench = Workbench(project, shown, make_engine)
    text = project.constitution.read_text()

    def edit(new: str) -> dict[str, int]:
        loaded = read_constitution(project.constitution, {project.constitution: new})
        bench.edit(loaded)
        shown.wait("bench", lambda bench: bench["digest"] == loaded.constitution.digest)
        asked: dict[str, int] = shown.settled()["asked_since_edit"]
        return asked

    try:
        bench.edit(read_constitution(project.constitution))
        bench.do(Bench.open)
        first = shown.settled()
        pairs = [card for card in first["cards"] if card["labels"]]
        assert len(first["cards"]) == 8
        assert len(pairs) >= 6
        assert edit(text.replace("value: 60", "value: 30")) == {}
        assert edit(text.replace("short and plain", "long and learned")) == {"label": 2 * len(pairs)}
        assert edit(text) == {}
    finally:
        bench.close()
