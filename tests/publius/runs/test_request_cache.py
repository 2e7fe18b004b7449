from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from core.errors import ConfigError, RunStateError
from publius.runs.project import open_cache
from publius.runs.request_cache import PruneRequest, check_cache, prune_cache
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import RUN, Recorder, record_lines, write_project


def records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


def test_run_with_a_cache_at_its_bound_has_the_records_of_one_without(tmp_path: Path):
    free, bound = (write_project(tmp_path / name, prompts=12) for name in ("free", "bound"))
    whole = execute(RunRequest(free), Recorder())
    small = execute(RunRequest(bound, overrides=["cache.max_gb=0.00005"]), Recorder())
    assert records(small.folder) == records(whole.folder)
    assert small.folder.name == whole.folder.name  # the bound is not part of the run's identity
    with open_cache(free.parent) as one, open_cache(bound.parent) as other:
        assert other.used_bytes <= 50_000 < one.used_bytes
        assert 0 < len(other) < len(one)


def test_resume_after_an_eviction_asks_only_what_is_missing(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=12)
    first = execute(RunRequest(run_file), Recorder())
    before = records(first.folder)
    with open_cache(tmp_path) as cache:
        total = len(cache)
        evicted = cache.evict(cache.used_bytes // 2)
    assert 0 < evicted < total
    shutil.rmtree(first.folder)  # all records are needed again
    recorder = Recorder()
    again = execute(RunRequest(run_file), recorder)
    assert records(again.folder) == before
    assert len(recorder.requests) == evicted
    assert sum(result.counts.total for result in again.stages) == total


def test_finished_records_are_not_asked_again_after_an_eviction(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=4)
    first = execute(RunRequest(run_file), Recorder())
    before = records(first.folder)
    with open_cache(tmp_path) as cache:
        cache.evict(1)
    recorder = Recorder()
    execute(RunRequest(run_file), recorder)
    assert recorder.requests == []
    assert records(first.folder) == before


def test_cache_show_lists_models_and_purposes_with_sizes(tmp_path: Path):
    execute(RunRequest(write_project(tmp_path, prompts=3)), Recorder())
    done = here("cache", "show", tmp_path / "run.yaml", "--json")
    found = json.loads(done.stdout)
    assert {group["purpose"]: group["answers"] for group in found["groups"]} == {
        "draft": 3,
        "critique": 6,
        "revision": 6,
        "label": 12,
    }
    assert {group["model"] for group in found["groups"]} == {"some-model"}
    assert found["answers"] == 27
    table = here("cache", "show", tmp_path).stdout.splitlines()
    assert table[0].split() == ["model", "purpose", "answers", "size", "last", "used", "(UTC)"]
    assert table[-1].startswith(f"{tmp_path}/.publius/cache.sqlite: 27 answers, ")


def test_cache_prune_by_model_and_age(tmp_path: Path):
    execute(RunRequest(write_project(tmp_path, prompts=3)), Recorder())
    assert json.loads(here("cache", "prune", tmp_path, "--older-than", "1h", "--json").stdout)["removed"] == 0
    assert json.loads(here("cache", "prune", tmp_path, "--model", "other", "--json").stdout)["answers"] == 27
    done = here("cache", "prune", tmp_path, "--model", "some-model", "--older-than", "0s")
    assert done.stdout.startswith("27 answers removed, 0 left; ")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PruneRequest(), "nothing to prune by; accepted: --older-than, --model or --max-gb"),
        (PruneRequest(model="m", max_gb=1.0), "--model and --max-gb together would also remove answers of"),
        (PruneRequest(older_than="a month"), "--older-than: found 'a month'; accepted: a number with s, m,"),
    ],
)
def test_prune_without_a_readable_condition_is_refused(tmp_path: Path, request_: PruneRequest, message: str):
    with pytest.raises(ConfigError, match=message):
        prune_cache(tmp_path, request_)


def test_project_without_a_cache_says_so_and_makes_none(tmp_path: Path):
    done = here("cache", "show", tmp_path)
    assert done.returncode == 2
    assert "no request cache; accepted: the folder of a run file that has been run" in done.stderr
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunStateError, match="no request cache"):
        prune_cache(tmp_path, PruneRequest(max_gb=1.0))


def test_cache_check_sets_a_damaged_file_aside_and_fails(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=30)
    first = execute(RunRequest(run_file), Recorder())
    assert here("cache", "check", tmp_path).returncode == 0
    path = tmp_path / ".publius" / "cache.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:-20_000] + b"\xff" * 20_000)
    done = here("cache", "check", tmp_path)
    assert done.returncode == 1
    assert "cache.damaged-" in done.stdout
    assert len(list(path.parent.glob("cache.damaged-*"))) == 1
    before = records(first.folder)
    shutil.rmtree(first.folder)
    assert records(execute(RunRequest(run_file), Recorder()).folder) == before


def test_run_with_a_damaged_cache_says_so_once_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    run_file = write_project(tmp_path, prompts=3)
    path = tmp_path / ".publius" / "cache.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 500)
    result = execute(RunRequest(run_file), Recorder())
    assert len(records(result.folder)["preferences.jsonl"]) == 3
    assert sum("was renamed to cache.damaged-" in record.getMessage() for record in caplog.records) == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (27,)


def test_cache_check_reports_a_damaged_head_and_fails(tmp_path: Path):
    execute(RunRequest(write_project(tmp_path, prompts=2)), Recorder())
    path = tmp_path / ".publius" / "cache.sqlite"
    path.write_bytes(b"no database" * 500)
    found = check_cache(tmp_path)
    assert found.damage is not None
    assert found.set_aside is not None
    assert Path(found.set_aside).read_bytes() == b"no database" * 500
    assert check_cache(tmp_path).damage is None
    path.write_bytes(b"no database" * 500)
    done = here("cache", "check", tmp_path)
    assert done.returncode == 1
    assert "renamed to" in done.stdout


def test_drafts_for_a_critic_that_is_loaded_later_are_not_evicted_before_it_reads_them(tmp_path: Path):
    text = RUN.replace("{policy: some-model}", "{policy: some-model, critic: {id: other}}")
    run_file = write_project(tmp_path, 30, text.replace("kind: scripted", "kind: transformers"))
    recorder = Recorder()
    stages = ("critique",)
    execute(RunRequest(run_file, ["cache.max_gb=0.00004"], stages=stages), recorder)
    assert len(recorder.texts("draft")) == 30
    with open_cache(tmp_path) as cache:
        assert cache.used_bytes <= 40_000
