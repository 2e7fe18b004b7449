"""Access control: tokens, cookies and names that are accepted, and those that are not."""

from __future__ import annotations

import json
import os
import stat

import pytest

from core.errors import ConfigError, DataError, RunStateError
from labelers.page.access import Access, clean_name, open_access

ACCESS = Access("t" * 32, "o" * 32)


def test_tokens_are_kept_for_this_user_alone(tmp_path):
    path = tmp_path / "page.json"
    old = os.umask(0)
    try:
        made = open_access(path, None)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_access(path, None) == made
    assert made.token != made.owner_token
    assert min(len(made.token), len(made.owner_token)) >= 32


def test_given_token_is_taken_and_kept(tmp_path):
    path = tmp_path / "page.json"
    owner = open_access(path, None).owner_token
    assert open_access(path, "my-own-token-123456") == Access("my-own-token-123456", owner)
    assert open_access(path, None).token == "my-own-token-123456"


@pytest.mark.parametrize("token", ["short", "with spaces in between", ""])
def test_weak_token_is_refused(tmp_path, token):
    with pytest.raises(ConfigError, match="16 to 128"):
        open_access(tmp_path / "page.json", token)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"token": 1}', "[" * 100_000])
def test_broken_token_file_is_told(tmp_path, content):
    (tmp_path / "page.json").write_text(content)
    with pytest.raises(RunStateError, match="does not have the page's tokens"):
        open_access(tmp_path / "page.json", None)


def test_cookie_names_its_person_and_cannot_be_made_without_the_token():
    cookie = ACCESS.sign("josé")
    assert ACCESS.annotator_of(cookie) == "josé"
    assert Access("x" * 32, "o" * 32).annotator_of(cookie) is None
    other = ACCESS.sign("ana").partition(".")[0] + "." + cookie.partition(".")[2]
    for forged in (None, "", ".", "ana", other, cookie + "0", cookie[:-1], "é.é", "\ud800."):
        assert ACCESS.annotator_of(forged) is None


def test_people_are_not_the_owner():
    assert ACCESS.is_owner(ACCESS.sign_owner())
    assert not any(ACCESS.is_owner(value) for value in (None, "", ACCESS.sign("ana"), ACCESS.sign(" owner")))
    assert ACCESS.annotator_of(ACCESS.sign_owner()) is None
    assert not ACCESS.is_annotator_token(ACCESS.owner_token)
    assert not ACCESS.is_owner_token(ACCESS.token)
    assert not ACCESS.is_annotator_token("\udcff")


def test_names_have_one_spelling():
    assert clean_name("  Ana   Maria ") == clean_name("ana maria") == "ana maria"
    assert clean_name("Jose\u0301") == "josé"
    assert clean_name("a.b+c@d-e_1") == "a.b+c@d-e_1"


@pytest.mark.parametrize(
    "name", ["", "   ", ".", "-x", "a" * 41, "<b>", "a\x00b", "a\u202eb", "a/b", "a\ud800"]
)
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match="cannot be used"):
        clean_name(name)


def test_token_file_holds_no_more_than_it_must(tmp_path):
    open_access(tmp_path / "page.json", None)
    kept = json.loads((tmp_path / "page.json").read_text())
    assert kept.keys() == {"schema_version", "token", "owner_token"}


def test_forms_of_the_same_letters_are_one_annotator():
    assert clean_name("ＡＬＩＣＥ") == clean_name("alice") == "alice"
    assert clean_name("ﬁna") == clean_name("FINA")
    assert clean_name("cafe\u0301") == clean_name("café")
