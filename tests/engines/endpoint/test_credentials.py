"""Where a key comes from, and where it never goes."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from core.errors import ConfigError
from engines.endpoint.credentials import Credentials, credentials_for, travels_openly

OPENAI, OTHER = "https://api.openai.com/v1", "https://api.openai.com.example.org/v1"
KEY = "sk-planted/7f3a+9c"


def test_a_key_is_read_from_the_variable_that_is_named():
    found = credentials_for(OTHER, "MY_KEY", {"MY_KEY": f" {KEY}\n"})
    assert found.headers == {"Authorization": f"Bearer {KEY}"}
    assert KEY not in repr(found)


def test_the_usual_variable_is_read_for_openai_alone():
    environment = {"OPENAI_API_KEY": KEY}
    assert credentials_for(OPENAI, None, environment).key == KEY
    assert credentials_for(OTHER, None, environment).key is None
    assert credentials_for("http://localhost/v1", None, environment).headers == {}


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "the environment variable MY_KEY is not set.*run: export MY_KEY=KEY"),
        ({"MY_KEY": "  "}, "is not set"),
        ({"MY_KEY": "two\nlines-7f3a"}, "characters that no header can carry"),
        ({"MY_KEY": "smörgås-7f3a"}, "characters that no header can carry"),
    ],
)
def test_a_variable_without_a_usable_key_is_an_error_that_does_not_show_it(
    environment: dict[str, str], line: str
):
    with pytest.raises(ConfigError, match=line) as caught:
        credentials_for(OTHER, "MY_KEY", environment)
    assert "7f3a" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        "sk-planted%2F7f3a%2B9c",
        "sk-planted%252f7f3a%252B9c",
        "sk-planted\\/7f3a+9c",
        "sk-planted/7f3a\\u002B9c",
        "".join(f"\\u{ord(character):04x}" for character in KEY),
        "".join(f"\\\\u{ord(character):04x}" for character in KEY),
        "".join(f"\\x{ord(character):02X}" for character in KEY),
        "".join(f"%{ord(character):02x}" for character in KEY),
        "".join(f"&#{ord(character)};" for character in KEY),
        "".join(f"&#x{ord(character):X};" for character in KEY),
        "sk-planted&sol;7f3a&plus;9c",
        "sk-planted&amp;#47;7f3a&#43;9c",
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
    ],
)
def test_a_key_is_masked_in_every_form_in_which_a_server_may_repeat_it(form: str):
    assert Credentials(KEY).mask(f"wrong key {form}!") == "wrong key ***!"


@pytest.mark.parametrize("before", ["", "u", "me", "user:", "Bearer "])
@pytest.mark.parametrize("after", ["", ":", "ab", "xyz"])
def test_a_key_in_base64_is_masked(before: str, after: str):
    encoded = base64.b64encode(f"{before}{KEY}{after}".encode()).decode()
    for form in (encoded, encoded.replace("+", "-").replace("/", "_")):
        masked = Credentials(KEY).mask(f"Authorization: Basic {form} is wrong")
        assert masked.endswith("*** is wrong")
        shown = masked.removeprefix("Authorization: Basic ").partition("***")[0]
        assert len(shown) <= len(base64.b64encode(before.encode()))


@pytest.mark.parametrize("key", [r"""sk-"pl'an\ted&<7f>+/=%$^*()[]|.?""", "key with spaces 7f3a", "a+" * 20])
def test_a_key_of_any_characters_is_masked(key: str):
    forms = [key, json.dumps(key)[1:-1], json.dumps(json.dumps(key))[3:-3], html.escape(key), quote(key)]
    for form in [*forms, html.escape(json.dumps(key)[1:-1]), repr(key.encode())[2:-1]]:
        assert Credentials(key).mask(f"< {form} >") == "< *** >"


def test_a_json_value_has_no_key_in_any_text_of_it():
    value = {"a": [KEY, 1, None, {KEY: f"x{KEY}"}], "b": True}
    assert Credentials(KEY).masked(value) == {"a": ["***", 1, None, {"***": "x***"}], "b": True}


@pytest.mark.parametrize("text", ["\\" * 300_000, "&amp;" * 60_000, "%25" * 100_000, "c2st" * 80_000])
def test_a_long_text_of_escapes_is_read_in_linear_time(text: str):
    assert Credentials(KEY).mask(text) == text  # in quadratic time, this takes minutes


def test_a_key_in_place_of_a_variable_s_name_is_not_repeated():
    with pytest.raises(ConfigError, match="the environment variable of this name is not set") as caught:
        credentials_for(OTHER, "gsk_planted7f3a", {})
    assert "7f3a" not in str(caught.value)


@pytest.mark.parametrize("key", ["none", "ollama", "lm-studio", "a"])
def test_a_word_that_stands_for_no_key_is_left_in_texts(key: str):
    assert Credentials(key).mask(f"{key} of these") == f"{key} of these"


@pytest.mark.parametrize(
    ("url", "openly"),
    [
        ("https://example.org/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://10.1.2.3/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://gpu-box:8000/v1", False),
        ("http://gpu.local/v1", False),
        ("http://example.org/v1", True),
        ("http://8.8.8.8/v1", True),
        ("http://[2001:4860:4860::8888]/v1", True),
    ],
)
def test_a_key_that_crosses_the_internet_unencrypted_is_warned_of(
    url: str, openly: bool, caplog: pytest.LogCaptureFixture
):
    assert travels_openly(url) == openly
    credentials_for(url, "MY_KEY", {"MY_KEY": KEY})
    assert len(caplog.records) == openly
    assert KEY not in caplog.text
