"""The studio over HTTP, without a browser: the link's token, refused requests, saves and conflicts."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publius.projects import CONSTITUTION, write_project
from tests.publius.studio.opened import Client, OpenedStudio, studio_on

pytest.importorskip("uvicorn", reason="the extra 'studio' is not installed")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStudio]:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    with studio_on(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(studio: OpenedStudio) -> Client:
    return Client(studio)


@pytest.mark.parametrize(
    "path", ["/api/events", "/api/files/constitution.yaml", "/api/schema/run", "/api/bench/stop", "/api/save"]
)
def test_nothing_is_shown_or_done_without_the_token(studio: OpenedStudio, client: Client, path: str):
    body = {} if path in ("/api/bench/stop", "/api/save") else None
    status, answer, _ = client.send(path, body, {"Cookie": ""})
    assert status == 401
    assert "link" in answer["error"]


def test_wrong_token_is_refused(client: Client):
    assert client.send("/api/enter", {"token": "x" * 32})[0] == 401


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Origin": "http://evil.example"}, {}),
        ({"Origin": "null"}, {}),
        ({"Origin": "http://evil.example"}, None),
        ({"Host": "evil.example"}, None),
    ],
)
def test_foreign_origins_and_hosts_are_refused(client: Client, headers: dict[str, str], body: object):
    path = "/api/bench/stop" if body is not None else "/api/files/constitution.yaml"
    assert client.send(path, body, headers)[0] == 403


def test_form_of_another_site_cannot_write(studio: OpenedStudio, client: Client):
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Cookie": client.cookie, "Origin": f"http://127.0.0.1:{studio.port}"}
        connection.request("POST", "/api/bench/stop", json.dumps({}), headers)
        assert connection.getresponse().status == 403  # a form cannot send the header X-Publius


def test_page_has_a_strict_policy_with_a_new_nonce_each_time(client: Client):
    _, page, headers = client.send("/")
    policy = headers["content-security-policy"]
    assert headers.get_all("content-security-policy") == [policy]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert nonce.encode() in page
    assert client.send("/")[2]["content-security-policy"] != policy


def test_built_files_are_served_compressed(client: Client):
    status, body, headers = client.send("/static/studio.js", None, {"Accept-Encoding": "gzip"})
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(body) < 400_000
    assert client.send("/static/../app.py")[0] in (400, 404)


def test_file_is_saved_on_top_of_what_was_read(client: Client):
    _, version, _ = client.send("/api/files/constitution.yaml")
    assert version["text"] == CONSTITUTION
    edited = {"name": "constitution.yaml", "text": CONSTITUTION + "# more\n", "tab": "one"}
    status, answer, _ = client.send("/api/save", {**edited, "base": version["digest"]})
    assert status == 200
    assert client.send("/api/files/constitution.yaml")[1]["digest"] == answer["digest"]
    status, answer, _ = client.send("/api/save", {**edited, "text": "other", "base": version["digest"]})
    assert status == 409
    assert answer["text"] == CONSTITUTION + "# more\n"


def test_draft_is_linted_and_kept(client: Client):
    _, version, _ = client.send("/api/files/run.yaml")
    text = version["text"].replace("rounds: 2", "rounds: many")
    draft = {"name": "run.yaml", "text": text, "base": version["digest"], "tab": "one"}
    _, answer, _ = client.send("/api/draft", draft)
    assert [problem["line"] for problem in answer["problems"]] == [6]
    assert [one["text"] for one in client.send("/api/files/run.yaml")[1]["drafts"]] == [text]
    client.send("/api/draft/drop", {"name": "run.yaml", "tab": "one"})
    assert client.send("/api/files/run.yaml")[1]["drafts"] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/files/..%2F..%2Fetc%2Fpasswd", None, 404),
        ("/api/files/access.json", None, 400),
        ("/api/save", {"name": "../x.yaml", "text": "", "base": "", "tab": "one"}, 400),
        ("/api/save", {"name": "run.yaml", "text": "", "base": "x", "tab": "one"}, 400),
        ("/api/bench/add", {"text": "  "}, 400),
        ("/api/bench/pin", {"id": "f" * 16, "pinned": True}, 400),
        ("/api/bench/pin", {"id": "../../x", "pinned": True}, 400),
        ("/api/bench/sample", {"count": 0}, 400),
        ("/api/unknown", None, 404),
    ],
)
def test_bad_requests_are_one_line(client: Client, path: str, body: object, status: int):
    found, answer, _ = client.send(path, body)
    assert found == status
    assert "\n" not in answer["error"]


def test_schemas_for_completion_are_served(client: Client):
    for kind in ("constitution", "run"):
        status, schema, _ = client.send(f"/api/schema/{kind}")
        assert status == 200
        assert schema["$schema"].startswith("http://json-schema.org/")


def test_link_stays_valid_over_a_kill(tmp_path: Path):
    write_project(tmp_path)
    with studio_on(tmp_path) as first:
        client = Client(first)
        first.kill()
    with studio_on(tmp_path, "--port", first.port) as second:
        assert second.url == first.url
        assert client.send("/api/files/constitution.yaml")[0] == 200


def test_project_without_constitution_ends_in_one_line(tmp_path: Path):
    from tests.publius.invoking import here

    result = here("studio", tmp_path)
    assert result.returncode == 2
    assert "no constitution to edit" in result.stderr
