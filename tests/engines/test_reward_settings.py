"""What stands beside a reward model's weights: read back as written, and refused in one line if broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import EngineError
from engines.reward_settings import RewardSettings, read_reward_settings, write_reward_settings


def test_settings_are_read_back_as_they_were_written(tmp_path: Path):
    settings = RewardSettings(
        members=("member-0", "member-1"), combine="uncertainty", uncertainty=0.25, mean=-1.5, std=2.0
    )
    write_reward_settings(tmp_path, settings)
    assert read_reward_settings(tmp_path) == settings


def test_a_folder_without_settings_holds_one_model_on_its_own_scale(tmp_path: Path):
    settings = read_reward_settings(tmp_path)
    assert settings.members == (".",)
    assert (settings.mean, settings.std, settings.temperature) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b'{"std": 0}', "std: .* greater than 0"),
        (b'{"temperature": -1}', "temperature: .* greater than 0"),
        (b'{"mean": NaN}', "mean: .* finite number"),
        (b'{"combine": "max"}', "combine: .* 'mean', 'min' or 'uncertainty'"),
        (b'{"members": []}', "members: .* at least 1 item"),
        (b'{"scale": 1}', "scale: Extra inputs are not permitted"),
        (b"\xff\xfe", "codec can't decode"),
    ],
)
def test_broken_settings_are_one_line_that_says_what_is_wrong(tmp_path: Path, content: bytes, found: str):
    (tmp_path / "reward.json").write_bytes(content)
    with pytest.raises(EngineError, match=found) as caught:
        read_reward_settings(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "reward.json") in str(caught.value)


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path):
    (tmp_path / "reward.json").mkdir()
    with pytest.raises(EngineError, match="cannot be read"):
        read_reward_settings(tmp_path)
