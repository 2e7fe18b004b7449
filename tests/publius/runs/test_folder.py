"""Runs: complete, repeated, edited, resumed. Logic only, with the scripted engine."""

import json
from pathlib import Path

import pytest

from constitution.loader import load_constitution
from core.errors import DataError, RunStateError
from engines.scripted import ScriptedEngine
from publius.config.run_file import load_run_config
from publius.runs.manifest import read_manifest
from publius.runs.opening.identity import identities_of
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, RUN, Recorder, ids, record_lines, write_project


def run(run_file: Path, *overrides: str, **options: object) -> tuple[Path, Recorder]:
    recorder = Recorder()
    outcome = execute(RunRequest(run_file, overrides, **options), recorder)  # type: ignore[arg-type]
    return outcome.folder, recorder


def test_every_prompt_gets_a_trace_a_comparison_and_a_preference(tmp_path):
    folder, _ = run(write_project(tmp_path))
    lines = record_lines(folder)
    manifest = read_manifest(folder)
    traced = {json.loads(line)["prompt"]["id"] for line in lines["traces.jsonl"]}
    assert traced == set(ids(lines["prompts.jsonl"]))
    compared = len(lines["comparisons.jsonl"])
    left_out = manifest["stages"]["compare"]["left_out"]
    assert compared + sum(left_out.values()) == 8
    aggregated = manifest["stages"]["aggregate"]
    unlabelled = sum(manifest["stages"]["label"]["left_out"].values()) + sum(aggregated["left_out"].values())
    assert len(lines["preferences.jsonl"]) + unlabelled == compared
    assert compared > 0


def test_a_second_run_asks_nothing_and_changes_nothing(tmp_path):
    run_file = write_project(tmp_path)
    folder, first = run(run_file)
    before = record_lines(folder)
    again, second = run(run_file)
    assert again == folder
    assert first.requests
    assert second.requests == []
    assert record_lines(folder) == before


def test_one_edited_word_reuses_all_drafts_and_asks_only_what_shows_the_principle(tmp_path):
    run_file = write_project(tmp_path, prompts=24)
    folder, first = run(run_file)
    edited = CONSTITUTION.replace("kind to the person", "gentle to the person")
    (tmp_path / "constitution.yaml").write_text(edited)
    sibling, second = run(run_file)
    assert sibling != folder
    assert first.texts("draft")
    assert second.texts("draft") == []
    # The script's answers depend on the wording that they are shown, so a rewritten answer changes what comes
    # after it: such a request shows either the edited principle or an answer that the first run never gave.
    old_answers = {text for line in record_lines(folder)["traces.jsonl"] for text in answers(line)}
    changed = {text for line in record_lines(sibling)["traces.jsonl"] for text in answers(line)} - old_answers
    asked = [text for purpose in ("critique", "revision", "label") for text in second.texts(purpose)]
    assert asked
    assert all("gentle" in text or any(answer in text for answer in changed) for text in asked)
    assert len(second.requests) < len(first.requests)
    reused = sum(stage["requests"].get("reused", 0) for stage in read_manifest(sibling)["stages"].values())
    total = reused + len(second.requests)
    assert reused == total - len(second.requests) > 0


def test_with_answers_that_ignore_wording_exactly_the_requests_that_show_it_are_asked_again(tmp_path):
    class Deaf(Recorder):
        def __call__(self, model, engine):
            made = super().__call__(model, engine)
            made._answerer = lambda request: f"{request.purpose} of seed {request.seed} in words of its own"
            return made

    run_file = write_project(tmp_path, prompts=24)
    first, second = Deaf(), Deaf()
    execute(RunRequest(run_file), first)
    showing = sum("kind to the person" in "\n".join(t.text for t in r.turns) for r in first.requests)
    edited = CONSTITUTION.replace("kind to the person", "gentle to the person")
    (tmp_path / "constitution.yaml").write_text(edited)
    execute(RunRequest(run_file), second)
    assert 0 < showing < len(first.requests)
    assert len(second.requests) == showing
    assert all("gentle" in "\n".join(t.text for t in r.turns) for r in second.requests)


def answers(line: str) -> list[str]:
    trace = json.loads(line)
    texts = [trace["initial"]["text"]]
    for revision in trace["revisions"]:
        texts += [revision["critique"]["text"], *(candidate["text"] for candidate in revision["candidates"])]
    return texts


def test_operational_fields_do_not_start_a_sibling_and_others_do(tmp_path):
    run_file = write_project(tmp_path)
    folder, _ = run(run_file)
    assert run(run_file, "engine.concurrency=1", "engine.max_batch=2")[0] == folder
    assert run(run_file, "critique.rounds=1")[0] != folder


def test_another_judge_evaluates_the_same_run_again(tmp_path):
    run_file = write_project(tmp_path)
    with (tmp_path / "prompts.jsonl").open("a") as prompts:
        prompts.writelines(f'{{"prompt": "Held out {n}", "split": "test"}}\n' for n in range(4))
    folder, _ = run(run_file)
    data = record_lines(folder)
    for judge in ("one-judge", "another-judge"):
        settings = (f"models.judge={judge}", "eval.models=[base,prompted]")
        found, recorder = run(run_file, *settings, stages=("eval",))
        assert found == folder
        assert recorder.texts("label") != []  # the judge compares
        assert recorder.texts("critique") == []
        entry = read_manifest(folder)["stages"]["eval"]
        assert entry["judge"]["id"] == judge
        assert f"id: {judge}" in (folder / "resolved.yaml").read_text()
    after = record_lines(folder)
    assert all(after[name] == lines for name, lines in data.items() if name != "exclusions.jsonl")


def test_a_folder_whose_identity_has_the_judge_is_resumed(tmp_path):
    run_file = write_project(tmp_path)
    settings = ("models.judge=a-judge", "eval.kl=false")
    folder, _ = run(run_file, *settings)
    config, recorded = load_run_config(run_file, settings), read_manifest(folder)
    models = {**recorded["identity"]["models"], "judge": ScriptedEngine(model="a-judge").identity}
    older, today = identities_of(config, load_constitution(config.constitution), models)
    assert recorded["digest"] == today.digest != older.digest
    assert older.configuration["eval"]["kl"] is False
    moved = folder.rename(folder.with_name(f"small-{older.digest[:8]}"))
    changed = {**recorded, "digest": older.digest, "identity": vars(older)}
    (moved / "manifest.json").write_text(json.dumps(changed))
    again, recorder = run(run_file, *settings)
    assert again == moved
    assert recorder.requests == []
    assert run(run_file, *settings, resume=moved)[0] == moved
    assert not folder.exists()


def test_resume_of_another_run_is_refused_and_names_what_differs(tmp_path):
    run_file = write_project(tmp_path)
    folder, _ = run(run_file)
    before = record_lines(folder)
    with pytest.raises(RunStateError, match=r"configuration \(critique\)"):
        run(run_file, "critique.rounds=1", resume=folder)
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION.replace("plain words", "simple words"))
    with pytest.raises(RunStateError, match="it differs in: constitution"):
        run(run_file, resume=folder)
    assert record_lines(folder) == before
    with pytest.raises(RunStateError, match="not a run folder"):
        run(run_file, resume=tmp_path)


def test_resume_of_the_same_run_goes_on(tmp_path):
    run_file = write_project(tmp_path)
    folder, _ = run(run_file, stages=("critique",))
    assert run(run_file, resume=folder)[0] == folder
    assert (folder / "preferences.jsonl").exists()


def test_duplicates_and_prompts_beyond_the_limit_are_counted(tmp_path):
    run_file = write_project(tmp_path, prompts=6)
    prompts = tmp_path / "prompts.jsonl"
    first = prompts.read_text().splitlines(keepends=True)[0]
    prompts.write_text(prompts.read_text() + first + '{"prompt": "held out", "split": "test"}\n')
    folder, _ = run(run_file, "prompts.limit=4")
    entry = read_manifest(folder)["stages"]["prompts"]
    assert entry["records"] == 5
    assert entry["left_out"] == {"beyond prompts.limit": 2, "duplicate prompt": 1}
    traced = [json.loads(line)["prompt"] for line in record_lines(folder)["traces.jsonl"]]
    assert "test" not in {prompt["split"] for prompt in traced}


def test_file_without_any_prompt_stops_before_a_model_is_asked_and_leaves_no_folder(tmp_path):
    run_file = write_project(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": null}\n{"prompt": 5}\n')
    recorder = Recorder()
    with pytest.raises(DataError, match=r"prompts\.jsonl:1: the prompt is empty.*prompts\.jsonl:2"):
        execute(RunRequest(run_file), recorder)
    assert recorder.requests == []
    assert not (tmp_path / "runs").exists()


def test_samples_of_the_policy_are_compared_with_each_other(tmp_path):
    text = RUN + "compare: {from: base, samples: 4, pairs: all}\n"
    folder, recorder = run(write_project(tmp_path, prompts=3, run=text))
    lines = record_lines(folder)
    assert len(recorder.texts("sample")) == 12
    origins = {json.loads(line)["origin_a"] for line in lines["comparisons.jsonl"]}
    assert origins <= {f"sample:{k}" for k in range(4)}
    left_out = sum(read_manifest(folder)["stages"]["compare"]["left_out"].values())
    assert len(lines["comparisons.jsonl"]) + left_out == 18


def test_roles_with_models_of_their_own_get_engines_of_their_own(tmp_path):
    text = RUN.replace("{policy: some-model}", "{policy: one, critic: two, labeler: {id: three}}")
    _, recorder = run(write_project(tmp_path, prompts=2, run=text))
    purposes = {engine.model: {r.purpose for r in engine.history} for engine in recorder.engines}
    assert purposes == {"one": {"draft"}, "two": {"critique", "revision"}, "three": {"label"}}


def test_a_locked_run_is_refused(tmp_path):
    from core.store.record_store import RecordStore

    run_file = write_project(tmp_path)
    folder, _ = run(run_file)
    with RecordStore(folder), pytest.raises(RunStateError):
        run(run_file)


def test_resolved_file_has_its_sections_in_the_order_of_a_run(tmp_path):
    folder, _ = run(write_project(tmp_path, prompts=1))
    keys = [line.partition(":")[0] for line in (folder / "resolved.yaml").read_text().splitlines()]
    assert " ".join(key for key in keys if key.isalpha()) == (
        "name recipe seed constitution prompts split models engine templates critique sample compare label "
        "train lora optim sft reward dpo ppo rloo grpo distill choose eval gates time cache scale"
    )
