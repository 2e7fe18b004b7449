"""The model of throughput: what it computes, and that the page shows what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scaling import GPUS, Inputs, inputs_of, main, prefill_rate, table, throughput
from tests.publius.test_cli import REPOSITORY


def test_the_page_has_the_table_of_the_script():
    page = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert table([throughput(Inputs(), gpus) for gpus in GPUS]) in page


def test_labels_grow_with_the_gpus_until_the_driver_is_busy():
    inputs = inputs_of(["weights=1e9", "driver_ms=2"])
    found = [throughput(inputs, gpus) for gpus in GPUS]
    alone = prefill_rate(inputs) / inputs.label_tokens * 3600
    assert [row.labels_sharded for row in found] == pytest.approx([alone * gpus for gpus in GPUS])
    assert found[-1].labels_per_hour == pytest.approx(500 * 3600)
    assert found[0].labels_per_hour == pytest.approx(alone)


def test_episodes_grow_less_than_the_gpus_and_cost_more():
    found = [throughput(Inputs(), gpus) for gpus in GPUS]
    assert [row.episodes_per_hour for row in found] == sorted(row.episodes_per_hour for row in found)
    prices = [row.usd_per_1000_episodes for row in found]
    assert prices == sorted(prices)
    assert found[-1].waiting > found[0].waiting
    free = inputs_of(["hand_over_s=0", "longest_answer=400"])
    assert throughput(free, 64).waiting == 0


def test_inputs_are_named_and_results_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["--set", "rollouts=256", "--json", str(tmp_path / "scaling.json")])
    assert "rollouts = 256" in capsys.readouterr().out
    assert json.loads((tmp_path / "scaling.json").read_text())["inputs"]["rollouts"] == 256
    with pytest.raises(SystemExit, match="no such input; accepted: answer_tokens, bandwidth"):
        inputs_of(["gpus=3"])
    with pytest.raises(SystemExit, match="do not fit one GPU"):
        throughput(inputs_of(["weights=70e9"]), 8)
