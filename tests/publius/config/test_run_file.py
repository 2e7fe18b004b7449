"""Mistakes between two settings of a run file: each is reported at the key that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from publius.config.run_file import load_run_config


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        (("engine: {kind: scripted}", "train: [dpo]"), "5:8", "train lists dpo"),
        (("seed: 1", "compare: {samples: 2, from: sft}"), "5:29", "compare.from is sft"),
        (("train: [dpo]", "dpo: {beta: 0.2, init: sft}"), "5:24", "dpo.init is sft"),
        (("eval: {best_of: 4}", "train: [dpo]"), "4:17", "eval.best_of needs a reward model"),
    ],
)
def test_a_mistake_between_two_keys_is_at_the_key_that_its_message_begins_with(
    tmp_path: Path, lines: tuple[str, str], place: str, what: str
):
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(("constitution: c.yaml", "prompts: p.jsonl", "models: {policy: m}", *lines)))
    with pytest.raises(ConfigError) as raised:
        load_run_config(path)
    assert str(raised.value).startswith(f"{path}:{place}: {what}")
