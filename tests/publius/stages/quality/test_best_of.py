"""Best of n by a run's reward model, with a tiny model: what is sampled, scored, recorded and shown."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from evaluation.drift.best_of_n import best_of_n_kl
from publius.config.run_file import load_run_config
from tests.publius.invoking import here, options
from tests.publius.trainable import roomy, write_trainable
from tests.publius.views.report.projects import ReadPage

pytest.importorskip("peft")

PLAIN = options("eval.models=[base]", "eval.kl=false", "eval.quality=false", "optim.epochs=1")
FOUR = options("eval.best_of=4")
SPLITS = ("preference", "preference", "test") * 4


@dataclass(frozen=True)
class Evaluated:
    """A run with a reward model that was evaluated with best of n."""

    run_file: Path
    folder: Path
    estimate: dict[str, Any]
    printed: str
    curve: dict[str, Any]
    rows: list[dict[str, Any]]
    """The recorded answers."""


@pytest.fixture(scope="module")
def evaluated(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    model = roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")
    run_file = write_trainable(tmp_path_factory.mktemp("project"), model, train="[reward]", splits=SPLITS)
    # A run that trains no policy is not evaluated without being asked.
    ran = here("run", run_file, *PLAIN)
    assert ran.returncode == 0, ran.stderr
    estimate = here("run", run_file, *PLAIN, *FOUR, "--only", "eval", "--estimate", "--json")
    done = here("eval", run_file, *PLAIN, *FOUR)
    assert done.returncode == 0, done.stderr
    (folder,) = (run_file.parent / "runs").iterdir()
    content = json.loads((folder / "eval" / "metrics.json").read_text())
    rows = [json.loads(line) for line in (folder / "eval" / "best_of.jsonl").read_text().splitlines()]
    curve = content["drift"]["best_of_n_by_reward"]
    return Evaluated(run_file, folder, json.loads(estimate.stdout), done.stdout, curve, rows)


def best_of_all_choices(rows: list[dict[str, Any]], n: int) -> tuple[float, float]:
    """Mean reward and checks of the best of n answers, over all choices of n of each prompt's answers."""
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt"], []).append(row)
    means = []
    for answers in by_prompt.values():
        won = []
        for chosen in itertools.combinations(answers, n):
            most = max(one["reward"] for one in chosen)
            won.append((most, fmean(one["checks"] for one in answers if one["reward"] == most)))
        means.append((fmean(reward for reward, _ in won), fmean(checks for _, checks in won)))
    return fmean(reward for reward, _ in means), fmean(checks for _, checks in means)


def test_curve_is_that_of_the_recorded_answers(evaluated: Evaluated):
    rows, curve = evaluated.rows, evaluated.curve
    prompts = {row["prompt"] for row in rows}
    assert len(rows) == 4 * len(prompts) == 16
    assert (curve["variant"], curve["samples"], curve["prompts"], curve["left_out"]) == ("base", 4, 4, {})
    first, _, last = curve["points"]
    assert [point["n"] for point in curve["points"]] == [1, 2, 4]
    assert last["kl_nats"] == pytest.approx(best_of_n_kl(4))
    assert first["proxy"]["value"] == pytest.approx(fmean(row["reward"] for row in rows))
    assert first["gold"]["value"] == pytest.approx(fmean(row["checks"] for row in rows))
    best = [max(row["reward"] for row in rows if row["prompt"] == prompt) for prompt in prompts]
    assert last["proxy"]["value"] == pytest.approx(fmean(best))
    assert all(row["checks"] == float(not any("A" <= c <= "Z" for c in row["text"])) for row in rows)


def test_it_is_printed_and_reported(evaluated: Evaluated):
    assert "Best of n by the reward model, 4 prompts, 4 answers of base" in evaluated.printed
    report = (evaluated.folder / "eval" / "report.md").read_text()
    assert "Of n answers of `base` the one that the reward model scores highest is taken" in report
    assert "| n | sqrt(KL) | reward (proxy) | machine checks, % (gold) |" in report


def test_the_page_draws_it(evaluated: Evaluated, tmp_path: Path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "report.html"
    done = here("report", evaluated.folder, "--to", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "Reward and machine checks of the best of n answers" in text
    drawn = ReadPage(text).series
    expected = [best_of_all_choices(evaluated.rows, n) for n in (1, 2, 4)]
    for column, place in (("proxy", 0), ("gold", 1)):
        name = f"{evaluated.folder.name}.eval.best_of.{column}"
        assert drawn[name] == pytest.approx([one[place] for one in expected])


def test_more_answers_ask_only_for_the_new_ones(evaluated: Evaluated):
    done = here("eval", evaluated.run_file, *PLAIN, *options("eval.best_of=6"), "--json")
    assert done.returncode == 0, done.stderr
    stage = json.loads(done.stdout)["stages"]["eval"]
    assert (stage["asked"]["best_of"], stage["reused"]["best_of"]) == (8, 16)


def test_without_a_reward_model_the_command_says_what_to_run(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, tiny_folder, train="[reward]")
    done = here("eval", run_file, *PLAIN, *FOUR)
    assert done.returncode == 2
    assert "eval.best_of needs the run's reward model, which is not trained yet" in done.stderr
    assert f"publius train reward {run_file}" in done.stderr


def test_without_checks_there_is_no_gold(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, tiny_folder, train="[reward]")
    (tmp_path / "constitution.yaml").write_text(
        "name: x\nprinciples:\n  - {id: kind, text: The reply is kind.}\n"
    )
    done = here("eval", run_file, *PLAIN, *FOUR)
    assert done.returncode == 2
    assert "no principle has a machine check" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_that_trains_no_reward_model_is_refused(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, tiny_folder, train="[sft]")
    done = here("run", run_file, *options("eval.best_of=4"))
    assert done.returncode == 2
    assert "eval.best_of needs a reward model, but train does not list reward" in done.stderr
    assert load_run_config(run_file).eval.best_of is None


def test_estimate_counts_the_answers(evaluated: Evaluated):
    (row,) = [row for row in evaluated.estimate["requests"] if row["purpose"] == "best_of"]
    assert row["calls"]["upper"] == 16
