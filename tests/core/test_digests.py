from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import core.digests
from core.digests import (
    canonical_json,
    derive_seed,
    derive_uniform,
    derive_uniforms,
    digest,
    file_digest,
    record_id,
)


def test_digest_is_sha256_of_canonical_json():
    assert digest("a", {"y": 2, "x": "é"}) == hashlib.sha256('["a",{"x":"é","y":2}]'.encode()).hexdigest()


def test_pinned_values_stay():
    # These values stand in users' run folders. A change here orphans every recorded id and cached answer.
    assert record_id("prompt", "Hello") == "88b1b2084c1b85fd"
    assert derive_seed(0, "p", "draft", 1) == 2023786206836174
    assert derive_uniform(0, "p", 1, "honest") == 0.7059905699731178


def test_key_order_does_not_matter_and_value_order_does():
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1}) == '{"a":2,"b":1}'
    assert digest(["a", "b"]) != digest(["b", "a"])


def test_part_boundaries_count():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(["ab", "c"])}) == 4


def test_numbers_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))


def test_lone_surrogates_have_digests_too():
    assert digest("\ud800") != digest("\ud801")


def test_seeds_are_exact_in_any_json_reader():
    seeds = {derive_seed("s", k) for k in range(2000)}
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_uniforms_lie_in_the_open_interval_and_spread_evenly():
    values = [derive_uniform("u", k) for k in range(4000)]
    assert all(0.0 < value < 1.0 for value in values)
    tenths = [sum(1 for value in values if int(10 * value) == tenth) for tenth in range(10)]
    # 400 expected in each, with a standard deviation of 19: five of them is a wide margin for fixed values.
    assert all(abs(count - 400) < 95 for count in tenths)


@pytest.mark.parametrize("digit", ["0", "f"])
def test_most_extreme_digest_still_gives_an_open_uniform(digit: str, monkeypatch: pytest.MonkeyPatch):
    # (2**53 - 1) + 0.5 is no float: with one bit more, the largest digest would round to 1.0.
    monkeypatch.setattr(core.digests, "digest", lambda *parts: digit * 64)
    assert 0.0 < derive_uniform() < 1.0


@pytest.mark.parametrize("key", [(), ("draw", 0, "p", 1), ("é", 2.5, None), ((1, "a"), "\ud800")])
def test_uniforms_of_one_key_are_those_of_all_parts(key: tuple[object, ...]):
    parts = ["honest", "", '"]', 3, "\ud800", ["a"]]
    assert list(derive_uniforms(key, parts)) == [derive_uniform(*key, part) for part in parts]


def test_seed_and_uniform_of_the_same_parts_are_unrelated():
    assert abs(derive_seed("a") / 2**53 - derive_uniform("a")) > 1e-6


def test_file_digest_is_of_the_bytes(tmp_path: Path):
    path = tmp_path / "weights"
    path.write_bytes(b"\x00\r\n")
    assert file_digest(path) == hashlib.sha256(b"\x00\r\n").hexdigest()
