"""Keys are found by their form, their value or their name, and placeholders and words are not."""

from __future__ import annotations

import pytest

from core.text.secrets import FoundKey, keys_in

MIXED = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY" * 3
LETTERS = "qWzLmNcVbXaTsPdRfGhJkYuOiEwQaZxScB"
HEX = "3f9a1c7e5b2d8046a7c1e93b5d8f2406" * 2

# Written in two parts, so that no scanner of this repository takes them for keys.
KEYS = {
    "a Hugging Face token": "hf_" + LETTERS,
    "an API key (sk-...)": "sk-" + "proj-" + MIXED[:48],
    "an API key of a model provider": "gsk_" + MIXED[:52],
    "a GitHub token": "ghp_" + MIXED[:36],
    "a GitLab token": "glpat-" + MIXED[:20],
    "an AWS access key": "AKIA" + "Q3ZT7WXC5VBN2MLK",
    "a Google API key": "AIza" + MIXED[:35],
    "a Slack token": "xoxb-" + "48151623421-" + MIXED[:24],
    "a Stripe key": "sk_" + "live_" + MIXED[:24],
    "a SendGrid key": "SG." + MIXED[:22] + "." + MIXED[:43],
    "a PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + MIXED[:60],
    "an npm token": "npm_" + MIXED[:36],
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "a JSON Web Token": "eyJ" + MIXED[:20] + ".eyJ" + MIXED[:40] + "." + MIXED[:43],
    "a header with a key": "Bearer " + MIXED[:40],
    "a password in an address": "postgres://someone:" + "s3cr3tS4uce9@db.internal/x",
    "the value of a key": '"api_key": "' + HEX[:32] + '"',
}


def found(text: str, known: dict[str, str] | None = None) -> list[FoundKey]:
    return keys_in(text.encode(), known)


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_found_by_its_form_wherever_it_is(kind: str):
    key = KEYS[kind]
    for text in (key, f"one {key} two", f'{{"prompt": "use {key} here"}}', f"({key})"):
        assert found(f"first line\n{text}\nlast line\n") == [FoundKey(2, kind)], text


def test_every_kind_of_key_is_tried_here():
    from core.text import secrets

    assert {form.kind for form in secrets._FORMS} == KEYS.keys()


def test_other_ways_to_write_the_value_of_a_key_are_known():
    for text in (
        f"OPENAI_API_KEY={MIXED[:40]}",
        f'{{\\"api_key\\": \\"{HEX[:32]}\\"}}',
        f"secret_key: '{MIXED[:30]}'",
        f"aws_secret_access_key = {MIXED[:40]}",
        f"password={MIXED[:24]}",
        f"sk-ant-api03-{MIXED}",
        f"sk-or-v1-{HEX}",
        f"sk-{HEX[:32]}",
    ):
        assert len(found(text)) == 1, text


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "export OPENAI_API_KEY=YOUR_API_KEY_GOES_HERE_1",
        "the class sk-estimator-doc-link-fitted-and-styled",
        "task-management-for-the-whole-of-the-team-2024",
        "https://user:password@example.org/path",
        "https://huggingface.co/datasets/owner/name",
        '{"pad_token": "<|endoftext|>", "eos_token_id": 2}',
        "my password: correct horse battery staple",
        "secret = getTokenFromTheServerOrTheCache(session)",
        "tokens: 123456789012345678901234567890",
        "Bearer of bad news, and the basic requirements of internationalization",
        "-----BEGIN PUBLIC KEY-----",
        '{"constitution_digest": "' + HEX + '", "comparison_id": "' + HEX + '"}',
    ],
)
def test_placeholders_and_words_are_no_keys(text: str):
    assert found(text) == []


def test_lines_are_counted_and_each_is_reported_once():
    text = "\n".join(
        ["plain", KEYS["a GitHub token"], "é" * 40, KEYS["a GitHub token"] * 2, "", KEYS["a Slack token"]]
    )
    assert [key.line for key in found(text)] == [2, 4, 6]
    assert found(text.replace("\n", "\r\n"))[-1].line == 6


def test_given_values_are_found_whatever_their_form():
    known = {"the value of MY_KEY": "plain words, and a comma"}
    assert found("a\nb plain words, and a comma b", known) == [FoundKey(2, "the value of MY_KEY")]
    assert found("plain words", known) == []


def test_bytes_that_are_no_utf8_hide_no_key():
    assert keys_in(b"\xff\xfe\x00 " + KEYS["a GitHub token"].encode() + b" \xf0\n") == [
        FoundKey(1, "a GitHub token")
    ]
