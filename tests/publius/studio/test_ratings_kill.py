"""The real server under `kill -9`: no rating is lost or stored twice, and thumbs stay with their ratings."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.labelers.page.collections import stored
from tests.publius.invoking import here
from tests.publius.projects import write_project
from tests.publius.studio.opened import Client, OpenedStudio, studio_on

pytest.importorskip("uvicorn", reason="the extra 'studio' is not installed")

PAIRS = 24
TRIES = 6000


class Rater:
    """A page that rates, and repeats a request until there is a response."""

    def __init__(self, studio: OpenedStudio) -> None:
        self.client = Client(studio)
        self.done: list[str] = []

    def view(self) -> dict[str, Any]:
        return self._insist("/api/ratings/view", None)

    def rate(self, task: str) -> dict[str, Any]:
        number = len(self.done)
        body = {
            "request": f"request-{number:04d}",
            "task": task,
            "verdict": ("first", "second", "tie")[number % 3],
        }
        view = self._insist("/api/ratings/decide", body)
        self.done.append(task)
        return view

    def _insist(self, path: str, body: Any) -> dict[str, Any]:
        pause = threading.Event()
        for _ in range(TRIES):
            try:
                status, answer, _ = self.client.send(path, body)
            except (OSError, http.client.HTTPException):
                pause.wait(0.1)
                continue
            assert status == 200, answer
            return dict(answer)
        raise AssertionError("the server did not come back")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_ratings_outlive_kills(tmp_path: Path, kills: int):
    run_file = write_project(tmp_path, prompts=PAIRS)
    assert here("run", run_file).returncode == 0
    run = next((tmp_path / "runs").iterdir()).name
    with studio_on(tmp_path) as first:
        rater, port = Rater(first), first.port
        status, view, _ = rater.client.send("/api/ratings/select", {"run": run, "count": PAIRS})
        assert status == 200
        assert view["added"] >= 2 * kills  # near duplicates are left out
        first.kill()
    for number in range(kills):
        with studio_on(tmp_path, "--port", port) as studio:
            assert rater.view()["decided"] == len(rater.done)
            rater.rate(rater.view()["task"]["id"])
            task = rater.view()["task"]["id"]
            sending = threading.Thread(target=rater.rate, args=(task,))
            sending.start()
            studio.kill()  # before, while or after the rating is stored
            with studio_on(tmp_path, "--port", port) as again:
                sending.join(600)
                assert not sending.is_alive()
                assert rater.view()["decided"] == len(rater.done) == 2 * (number + 1)
                again.kill()
    judgments = stored(tmp_path / "ratings")
    assert [judgment.comparison_id for judgment in judgments] == rater.done
    assert len({judgment.id for judgment in judgments}) == 2 * kills


@pytest.mark.slow
def test_started_run_and_talk_are_there_after_a_kill(tmp_path: Path):
    write_project(tmp_path, prompts=4)
    with studio_on(tmp_path) as first:
        client, port = Client(first), first.port
        status, answer, _ = client.send(
            "/api/talk", {"question": "Who are you?", "variants": ["base", "prompted"]}
        )
        assert status == 200
        turn = answer["turn"]
        thumbs = [("base", "down"), ("prompted", "up")]
        pause = threading.Event()
        for variant, thumb in thumbs:
            for _ in range(TRIES):
                body = {"turn": turn, "variant": variant, "thumb": thumb}
                status, answer, _ = client.send("/api/talk/thumb", body)
                if status == 200:
                    break
                pause.wait(0.1)  # not answered yet
            assert status == 200, answer
        status, started, _ = client.send("/api/runs/start", {"run_file": "run.yaml"})
        assert status == 200
        first.kill()
    (judgment,) = stored(tmp_path / "ratings")
    assert judgment.verdict in ("a", "b")
    with studio_on(tmp_path, "--port", port):
        for _ in range(TRIES):
            _, shown, _ = client.send("/api/runs")
            (process,) = shown["processes"]
            if process["state"] != "running":
                break
            pause.wait(0.3)
        assert (process["id"], process["state"]) == (started["process"], "finished")
        assert [run["run"] for run in shown["runs"]] == [process["folder"]]
        assert client.send("/api/ratings/view")[1]["decided"] == 1
