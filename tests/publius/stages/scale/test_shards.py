"""Shards of a run: together they are the run, whatever is missing, repeated or stopped in between."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.errors import ConfigError, RunStateError
from publius.runs.parts.shards import Shard, parse_shard
from publius.stages.runner import RunRequest, execute
from publius.stages.scale.merge import MergeRequest, merge_shards
from tests.publius.invoking import here
from tests.publius.projects import RUN, Recorder, record_lines, write_project

COUNT = 3
SAMPLED = RUN + "compare: {from: base, samples: 2}\n"
SCORED = RUN.replace("label: {principles: 2}", "label: {principles: 1}") + "compare: {from: samples}\n"


def run_shard(run_file: Path, number: int, count: int = COUNT) -> Path:
    return execute(RunRequest(run_file, shard=Shard(number, count)), Recorder()).folder


def sorted_records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


@pytest.mark.parametrize("run", [RUN, SAMPLED, SCORED], ids=["revisions", "base", "samples"])
def test_merged_shards_have_the_records_of_the_whole_run(tmp_path: Path, run: str):
    whole = execute(RunRequest(write_project(tmp_path / "whole", 20, run)), Recorder()).folder
    run_file = write_project(tmp_path / "parts", 20, run)
    shards = [run_shard(run_file, number) for number in (3, 1, 2)]
    merged = merge_shards(MergeRequest(shards))
    assert merged.folder.name == whole.name
    assert sorted_records(merged.folder) == sorted_records(whole)
    # No answer is at hand on the machine that goes on with the run.
    (run_file.parent / ".publius" / "cache.sqlite").unlink()
    recorder = Recorder()
    execute(RunRequest(run_file), recorder)
    assert recorder.requests == []
    assert sorted_records(merged.folder) == sorted_records(whole)


def test_requests_of_the_shards_add_up(tmp_path: Path):
    whole = execute(RunRequest(write_project(tmp_path / "whole", 20)), Recorder()).folder
    run_file = write_project(tmp_path / "parts", 20)
    merged = merge_shards(MergeRequest([run_shard(run_file, number) for number in (1, 2, 3)]))
    one, two = (
        json.loads((folder / "manifest.json").read_text())["stages"] for folder in (whole, merged.folder)
    )
    for stage in ("critique", "compare", "label"):
        assert two[stage]["requests"] == one[stage]["requests"], stage
        assert two[stage]["records"] == one[stage]["records"], stage
        assert two[stage]["left_out"] == one[stage]["left_out"], stage


def test_merging_again_changes_nothing(tmp_path: Path):
    run_file = write_project(tmp_path, 12)
    shards = [run_shard(run_file, number) for number in (1, 2, 3)]
    first = merge_shards(MergeRequest(shards))
    before = {path.name: path.read_bytes() for path in first.folder.glob("*.jsonl")}
    again = merge_shards(MergeRequest(shards))
    assert {path.name: path.read_bytes() for path in first.folder.glob("*.jsonl")} == before
    assert set(again.new.values()) == {0}


def test_resume_does_what_a_missing_shard_lacks_and_nothing_else(tmp_path: Path):
    whole = execute(RunRequest(write_project(tmp_path / "whole", 20)), Recorder()).folder
    run_file = write_project(tmp_path / "parts", 20)
    shards = [run_shard(run_file, number) for number in (1, 3)]
    merged = merge_shards(MergeRequest(shards))
    assert (merged.missing, merged.unfinished) == ((2,), ())
    (run_file.parent / ".publius" / "cache.sqlite").unlink()
    recorder = Recorder()
    execute(RunRequest(run_file), recorder)
    assert sorted_records(merged.folder) == sorted_records(whole)
    prompts = [json.loads(line)["id"] for line in record_lines(whole)["prompts.jsonl"]]
    drafted = sum(request.purpose == "draft" for request in recorder.requests)
    assert drafted == sum(Shard(2, COUNT).has(prompt) for prompt in prompts) > 0


def test_training_waits_for_the_merged_run(tmp_path: Path):
    run_file = write_project(
        tmp_path, 8, RUN.replace("kind: scripted", "kind: transformers") + "train: [dpo]\n"
    )
    with pytest.raises(ConfigError, match=r"dpo cannot be done in parts; .*critique, sample, compare, label"):
        execute(RunRequest(run_file, stages=("dpo",), shard=Shard(1, 2)), Recorder())


def test_folder_of_a_shard_takes_no_other_part(tmp_path: Path):
    run_file = write_project(tmp_path, 8)
    folder = run_shard(run_file, 1)
    with pytest.raises(RunStateError, match=r"the folder has shard 1/3 of the run; accepted: --shard 1/3"):
        execute(RunRequest(run_file, resume=folder), Recorder())
    whole = execute(RunRequest(run_file), Recorder()).folder
    with pytest.raises(RunStateError, match="the folder has the whole run; accepted: no --shard"):
        execute(RunRequest(run_file, resume=whole, shard=Shard(1, 3)), Recorder())


def test_what_is_no_shard_of_the_run_is_refused(tmp_path: Path):
    run_file = write_project(tmp_path / "one", 8)
    first = run_shard(run_file, 1)
    whole = execute(RunRequest(run_file), Recorder()).folder
    other = run_shard(write_project(tmp_path / "two", 9), 2)
    fewer = run_shard(run_file, 2, count=2)
    with pytest.raises(RunStateError, match="has no shard of a run"):
        merge_shards(MergeRequest([first, whole]))
    for another in (other, fewer):
        with pytest.raises(RunStateError, match="is of another run"):
            merge_shards(MergeRequest([first, another]))
    with pytest.raises(ConfigError, match="both have shard 1/3"):
        merge_shards(MergeRequest([first, first]))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/3/5", ""])
def test_bad_shard_is_one_line(text: str):
    with pytest.raises(
        ConfigError, match=r"--shard: found .*; accepted: k/K with k from 1 to K, such as 3/8"
    ):
        parse_shard(text)


def test_commands_run_and_merge_shards(tmp_path: Path):
    run_file = write_project(tmp_path, 8)
    said = [here("run", run_file, "--shard", f"{number}/2") for number in (1, 2)]
    assert [done.returncode for done in said] == [0, 0]
    counts = [int(found[1]) for done in said if (found := re.search(r"(\d+) prompts? in shard", done.stdout))]
    assert sum(counts) == 8
    assert "when all 2 shards are done: publius runs merge" in said[0].stderr
    assert ".shard-*" in said[0].stderr
    assert "are 1 of 2 so far" in said[0].stderr
    assert "so far" not in said[1].stderr
    folders = sorted((tmp_path / "runs").glob("*.shard-*"))
    result = here("runs", "merge", *folders, "--json")
    assert result.returncode == 0, result.stderr
    merged = json.loads(result.stdout)
    assert (merged["shards"], merged["missing"], merged["records"]["prompts"]) == (2, [], 8)
    listed = here("runs", tmp_path)
    assert Path(merged["run"]).name in listed.stdout
    assert here("runs", "list", tmp_path).stdout == listed.stdout


def test_user_columns_and_prompts_left_out_are_those_of_the_run(tmp_path: Path):
    rows = [{"prompt": f"What is {i}?", "split": "train", "ticket": f"T{i}"} for i in range(9)]
    rows.append(rows[0])
    folders = []
    for name in ("whole", "parts"):
        run_file = write_project(tmp_path / name, 1)
        (run_file.parent / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if name == "whole":
            folders.append(execute(RunRequest(run_file), Recorder()).folder)
        else:
            shards = [run_shard(run_file, number, 2) for number in (1, 2)]
            folders.append(merge_shards(MergeRequest(shards)).folder)
    one, two = map(sorted_records, folders)
    assert one["prompt_columns.jsonl"] == two["prompt_columns.jsonl"] != []
    assert one["exclusions.jsonl"] == two["exclusions.jsonl"]
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert manifests[0]["prompts"] == manifests[1]["prompts"]
