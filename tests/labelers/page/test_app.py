"""The page over HTTP, without a browser: access, rejected requests, and error messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import RunStateError
from core.web.hosts import Hosts
from labelers.page.access import Access
from labelers.page.guard import MAX_BODY_BYTES
from tests.labelers.page.collections import session, stored

pytest.importorskip("fastapi", reason="the extra 'annotate' is not installed")
pytest.importorskip("httpx2", reason="httpx2, which the test client needs, is not installed")

from fastapi.testclient import TestClient

from labelers.page.app import Page, build_app

HOST = "127.0.0.1:8321"
OWN = {"Origin": f"http://{HOST}", "X-Publius": "1"}
ACCESS = Access("t" * 32, "o" * 32)
READS = ["/api/view", "/api/overview"]
WRITES: list[tuple[str, dict[str, Any]]] = [
    ("/api/enter", {"token": ACCESS.token, "annotator": "ana"}),
    ("/api/owner", {"token": ACCESS.owner_token}),
    ("/api/decide", {"request": "request-1", "task": "0" * 16, "verdict": "tie"}),
    ("/api/undo", {"judgment": "0" * 16}),
    ("/api/leave", {}),
]


@pytest.fixture
def opened(tmp_path) -> Iterator[Any]:
    with session(tmp_path) as made:
        yield made


def client_of(opened: Any) -> TestClient:
    app = build_app(Page(opened, ACCESS), Hosts.of("127.0.0.1"))
    return TestClient(app, base_url=f"http://{HOST}", headers=OWN, raise_server_exceptions=False)


@pytest.fixture
def client(opened) -> TestClient:
    return client_of(opened)


@pytest.fixture
def ana(client) -> TestClient:
    assert client.post("/api/enter", json={"token": ACCESS.token, "annotator": "Ana"}).json() == {
        "annotator": "ana"
    }
    return client


def decide(client: TestClient, request: str = "request-1", **fields: Any) -> Any:
    task = client.get("/api/view").json()["task"]
    body = {"request": request, "task": task["id"], "verdict": "first", **fields}
    return client.post("/api/decide", json=body)


def test_decision_is_on_disk_when_the_next_question_comes(ana, tmp_path):
    before = ana.get("/api/view").json()
    after = decide(ana, comment="because").json()
    (judgment,) = stored(tmp_path)
    assert (judgment.annotator, judgment.comment) == ("ana", "because")
    assert judgment.comparison_id == before["task"]["id"] != after["task"]["id"]
    assert (before["decided"], after["decided"]) == (0, 1)


def test_repeated_post_is_stored_once(ana, tmp_path):
    task = ana.get("/api/view").json()["task"]["id"]
    body = {"request": "request-1", "task": task, "verdict": "tie"}
    answers = [ana.post("/api/decide", json=body).json()["decided"] for _ in range(3)]
    assert answers == [1, 1, 1]
    assert len(stored(tmp_path)) == 1


def test_undo_brings_the_question_back(ana):
    task = ana.get("/api/view").json()["task"]["id"]
    undo = decide(ana).json()["undo"]
    assert ana.post("/api/undo", json={"judgment": undo}).json()["task"]["id"] == task


def test_conflict_is_told_in_words(ana):
    task = ana.get("/api/view").json()["task"]["id"]
    decide(ana)
    again = ana.post("/api/decide", json={"request": "request-2", "task": task, "verdict": "tie"})
    assert again.status_code == 409
    assert "already" in again.json()["error"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("cookie", [None, "", "garbage", "YW5h.0000"])
def test_reading_without_the_right_cookie_is_refused(client, path, cookie):
    if cookie is not None:
        client.cookies.set(ACCESS.cookie, cookie)
        client.cookies.set(ACCESS.owner_cookie, cookie)
    answer = client.get(path)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("path", ["/api/decide", "/api/undo"])
def test_writing_without_a_cookie_is_refused(client, path):
    assert client.post(path, json=dict(WRITES)[path]).status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", ACCESS.owner_token, ACCESS.token[:-1], ACCESS.token + "t"])
def test_wrong_token_is_refused(client, token):
    answer = client.post("/api/enter", json={"token": token, "annotator": "ana"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_people_do_not_see_the_owners_figures(ana):
    assert ana.get("/api/overview").status_code == 401
    assert ana.post("/api/owner", json={"token": ACCESS.token}).status_code == 401


def test_owner_sees_figures_and_is_nobody_who_compares(client):
    assert client.post("/api/owner", json={"token": ACCESS.owner_token}).status_code == 200
    assert client.get("/api/overview").json()["tasks"] == 3
    assert client.get("/api/view").status_code == 401


@pytest.mark.parametrize("path", ["/", "/owner", *READS])
def test_foreign_host_is_refused(ana, path):
    answer = ana.get(path, headers={"Host": "evil.example:8321"})
    assert answer.status_code == 403
    assert "--allow-host" in answer.json()["error"]


@pytest.mark.parametrize(("path", "body"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"http://{HOST}.evil.example"},
    ],
)
def test_foreign_origin_is_refused(ana, tmp_path, path, body, headers):
    answer = ana.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (403, "the request comes from another site")
    assert stored(tmp_path) == []


def test_form_of_another_site_is_refused(ana):
    del ana.headers["X-Publius"]
    assert ana.post("/api/leave", json={}).status_code == 403


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "Field required"),
        (b"{", "JSON"),
        (b"[1]", "dict"),
        (b"\xff\xfe", ""),
        (b'{"request": "request-1", "task": "0000000000000000", "verdict": "maybe"}', "verdict"),
        (b'{"request": "r", "task": "0000000000000000", "verdict": "tie"}', "request"),
        (b'{"request": "request-1", "task": "0000000000000000", "verdict": "tie", "x": 1}', "x"),
        (b'{"request": "request-1", "task": "../../etc", "verdict": "tie"}', "task"),
        (b'{"request": "request-1", "task": "0000000000000000", "verdict": "tie", "duration_s": NaN}', ""),
        (b"[" * 50_000, ""),
    ],
)
def test_malformed_body_is_told_in_one_line(ana, tmp_path, body, word):
    answer = ana.post("/api/decide", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert stored(tmp_path) == []


def test_large_body_is_refused_before_it_is_read(ana):
    large = b'{"x": "' + b"y" * MAX_BODY_BYTES + b'"}'
    assert ana.post("/api/decide", content=large).status_code == 413
    pieces = (b"y" * 10_000 for _ in range(8))  # its length is not announced
    assert ana.post("/api/decide", content=pieces).status_code == 413
    assert ana.post("/api/decide", content=b"", headers={"Content-Length": "-1"}).status_code in (400, 413)


def test_bad_name_is_told(client):
    answer = client.post("/api/enter", json={"token": ACCESS.token, "annotator": "<script>"})
    assert answer.status_code == 400
    assert "letters" in answer.json()["error"]


def test_decision_that_does_not_fit_is_told(ana):
    assert decide(ana, verdict="ranking", ranks=[1, 2]).status_code == 400


def test_full_disk_is_told_without_paths(ana, opened, tmp_path, monkeypatch):
    def full(record):
        raise RunStateError("disk full", where=str(tmp_path))

    monkeypatch.setattr(opened.ledger.judgments, "append", full)
    answer = decide(ana)
    assert answer.status_code == 503
    assert answer.json()["error"] == "The server cannot store it: disk full."
    monkeypatch.undo()
    assert decide(ana).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/owner", "/static/page.js", "/static/page.css", "/api/view", "/nowhere"]
)
def test_every_answer_carries_the_strict_policy(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    answer = client.post("/api/enter", json={"token": ACCESS.token, "annotator": "ana"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ACCESS.token not in cookie


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/docs", "/openapi.json", "/static/"]
)
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


def test_page_has_no_inline_script_or_style_and_nothing_from_elsewhere(client):
    for path in ("/", "/owner"):
        text = client.get(path).text
        assert "<script>" not in text
        assert "style=" not in text
        assert "onclick" not in text
        assert "//" not in text.replace("<!doctype html>", "")


def test_scripts_never_make_markup_of_text(client):
    for name in ("page", "draw", "net", "owner", "theme"):
        text = client.get(f"/static/{name}.js").text
        assert not any(
            word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "write(")
        )
