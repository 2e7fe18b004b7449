"""The server is killed in the middle of an editing session: what was saved is on disk, and whole."""

from __future__ import annotations

import http.client
import random
import threading
from pathlib import Path

import pytest

from tests.publius.projects import CONSTITUTION, write_project
from tests.publius.studio.opened import Client, studio_on

pytest.importorskip("uvicorn", reason="the extra 'studio' is not installed")


class Session:
    """Edits that are typed and saved one after the other, until the server is gone."""

    def __init__(self, client: Client, begun: int) -> None:
        self.client, self.sent, self.saved = client, begun, begun
        self.drafted = ""
        self.acknowledged = threading.Semaphore(0)

    def run(self) -> None:
        try:
            digest = self.client.send("/api/files/constitution.yaml")[1]["digest"]
            while True:
                text = f"{CONSTITUTION}# edit {self.sent + 1}\n"
                self.sent += 1
                edit = {"name": "constitution.yaml", "text": text, "base": digest, "tab": "one"}
                assert self.client.send("/api/draft", edit)[0] == 200
                self.drafted = text
                status, answer, _ = self.client.send("/api/save", edit)
                assert status == 200, answer
                digest, self.saved = answer["digest"], self.sent
                self.acknowledged.release()
        except (OSError, http.client.HTTPException):
            return  # killed


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_saved_edits_survive_kills(tmp_path: Path, kills: int):
    write_project(tmp_path)
    path, moments = tmp_path / "constitution.yaml", random.Random(5)
    saved, port = 0, 0
    for _ in range(kills):
        with studio_on(tmp_path, "--port", port) as studio:
            port = studio.port
            session = Session(Client(studio), saved)
            editing = threading.Thread(target=session.run)
            editing.start()
            for _ in range(moments.randint(1, 5)):
                assert session.acknowledged.acquire(timeout=600)
            studio.kill()  # anywhere between two acknowledgements
            editing.join(600)
        number = int(path.read_text().rpartition("# edit ")[2])
        assert session.saved <= number <= session.sent
        assert path.read_text() == f"{CONSTITUTION}# edit {number}\n"
        saved = number
    with studio_on(tmp_path, "--port", port) as studio:
        drafts = Client(studio).send("/api/files/constitution.yaml")[1]["drafts"]
    if session.drafted not in ("", path.read_text()):
        assert [draft["text"] for draft in drafts] == [session.drafted]
