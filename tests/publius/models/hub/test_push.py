"""`publius push` against a server of the Hub's API, from what users have to what is stored there."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from publius.runs.dataset import export_run
from publius.stages.runner import RunRequest, execute
from tests.publius.hub_server import READ_TOKEN, TOKEN, Hub, serving, use_hub
from tests.publius.invoking import here
from tests.publius.projects import Recorder, write_project
from tests.publius.test_cli import REPOSITORY, mistakes, publius

pytest.importorskip("huggingface_hub")

RECORDED = Path(__file__).parents[2] / "recorded" / "project"
KEY = "hf_" + "qWzLmNcVbXaTsPdRfGhJkYuOiEwQaZxScB"
BASE = ("--base", "HuggingFaceTB/SmolLM2-135M-Instruct")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as server:
        use_hub(server.url, TOKEN, monkeypatch)
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run, which trained an adapter by each of several methods."""
    folder = tmp_path_factory.mktemp("pushed") / "project"
    shutil.copytree(RECORDED, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    (folder,) = (project / "runs").iterdir()
    return folder


@pytest.fixture
def data_set(run: Path, tmp_path: Path) -> Path:
    return export_run(run, tmp_path / "data").folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pushed(*arguments: object) -> dict[str, object]:
    done = here("push", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def listed(result: dict[str, object]) -> dict[str, int]:
    return {file["path"]: file["bytes"] for file in result["files"]}  # type: ignore[attr-defined]


def test_the_data_set_of_a_run_is_stored_as_export_writes_it_and_as_the_dry_run_lists_it(
    hub: Hub, run: Path, data_set: Path
):
    planned = pushed(run, "me/rules", "--dry-run")
    assert hub.requests == []
    assert (planned["sent"], planned["commit"]) == (False, None)
    sent = pushed(run, "me/rules")
    stored = hub.files("dataset", "me/rules")
    assert stored == contents(data_set)
    assert listed(planned) == listed(sent) == {name: len(content) for name, content in stored.items()}
    assert planned["url"] == sent["url"] == f"{hub.url}/datasets/me/rules"
    assert (sent["sent"], sent["changed"]) == (True, True)
    assert not hub.repositories["dataset", "me/rules"].private


def test_an_exported_folder_and_a_project_are_pushed_as_the_run_is(hub: Hub, project: Path, data_set: Path):
    (data_set / ".DS_Store").write_text("hidden")
    pushed(data_set, "datasets/me/folder", "--private")
    assert hub.repositories["dataset", "me/folder"].private
    pushed(project, f"{hub.url}/datasets/me/project")
    (data_set / ".DS_Store").unlink()
    expected = contents(data_set)
    assert hub.files("dataset", "me/folder") == expected
    assert hub.files("dataset", "me/project") == expected


def test_an_adapter_is_stored_with_its_card_its_weights_as_a_large_file(hub: Hub, run: Path, tmp_path: Path):
    done = here("export", run, "--model", "dpo", "--adapter", *BASE, "--to", tmp_path / "adapter")
    assert done.returncode == 0, done.stderr
    planned = pushed(run, "me/adapter", "--model", "dpo", *BASE, "--dry-run")
    pushed(run, "me/adapter", "--model", "dpo", *BASE)
    stored = hub.files("model", "me/adapter")
    assert stored == contents(tmp_path / "adapter")
    assert listed(planned).keys() == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert hub.uploaded == {"adapter_model.safetensors"}
    assert stored["adapter_model.safetensors"] == (run / "dpo" / "adapter_model.safetensors").read_bytes()
    assert json.loads(stored["adapter_config.json"])["base_model_name_or_path"] == BASE[1]
    card = stored["README.md"].decode()
    assert f"base_model: {BASE[1]}\n" in card
    assert f'base = "{BASE[1]}"' in card
    pushed(run / "dpo", "me/of-training", *BASE)
    assert hub.files("model", "me/of-training") == stored


def test_a_reward_model_is_stored_with_its_scale(hub: Hub, run: Path):
    pushed(run, "me/reward", "--model", "reward", *BASE)
    stored = hub.files("model", "me/reward")
    assert stored["reward.json"] == (run / "reward" / "reward.json").read_bytes()
    assert set(stored) == {"README.md", "adapter_config.json", "adapter_model.safetensors", "reward.json"}


def test_the_same_files_again_make_no_commit(hub: Hub, data_set: Path):
    first = pushed(data_set, "me/rules")
    again = here("push", data_set, "me/rules")
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    assert lines[-2] == "nothing changed: the repository has these files"
    assert lines[-1] == first["url"]
    history = hub.repositories["dataset", "me/rules"].branches["main"]
    assert len(history) == 2
    (data_set / "constitution.yaml").write_text("name: other\n")
    third = pushed(data_set, "me/rules", "--message", "Other principles")
    assert third["changed"]
    assert history[-1].message == "Other principles"
    assert hub.files("dataset", "me/rules") == contents(data_set)


def test_a_branch_is_made_and_files_beside_are_told(hub: Hub, data_set: Path):
    hub.make("dataset", "me/rules").branches["main"][-1].files["old/train.jsonl"] = b"{}\n"
    done = here("push", data_set, "me/rules", "--branch", "second")
    assert done.returncode == 0, done.stderr
    assert "the repository has 1 other file, left as they are: old/train.jsonl" in done.stderr
    assert set(hub.files("dataset", "me/rules")) == {"old/train.jsonl"}
    assert set(hub.files("dataset", "me/rules", "second")) == {*contents(data_set), "old/train.jsonl"}


def test_the_list_is_printed_before_anything_is_sent(hub: Hub, data_set: Path):
    hub.refusals["/commit/"] = (500, {})
    done = here("push", data_set, "me/rules")
    assert "the Hub refused (500: refused by the test: /commit/)" in mistakes(done)[0]
    assert "README.md" in done.stdout
    assert f"{len(contents(data_set))} files" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("to the data set me/rules")


@pytest.mark.parametrize("file", ["README.md", "soft/train.jsonl", "constitution.yaml"])
def test_a_planted_key_stops_it_with_its_place_and_without_a_request(hub: Hub, data_set: Path, file: str):
    lines = (data_set / file).read_text().splitlines(keepends=True)
    lines[-1] = lines[-1].rstrip("\n") + f" token {KEY}\n"
    (data_set / file).write_text("".join(lines))
    for dry in ((), ("--dry-run",)):
        done = here("push", data_set, "me/rules", *dry)
        (line,) = mistakes(done)
        assert f"{file}:{len(lines)}: a Hugging Face token; nothing was sent" in line
        assert KEY not in done.stdout + done.stderr
        assert done.stdout == ""
    assert hub.requests == []
    assert pushed(data_set, "me/rules", "--allow", f"{file}:{len(lines)}")["changed"]


def test_a_key_in_the_records_of_a_run_stops_it(hub: Hub, run: Path, tmp_path: Path):
    planted = Path(shutil.copytree(run, tmp_path / "run"))
    text = (planted / "constitution.yaml").read_text()
    (planted / "constitution.yaml").write_text(f"# {KEY}\n{text}")
    lines = mistakes(here("push", planted, "me/rules"))
    assert {line.partition(": a Hugging Face token")[0].rpartition(":")[0] for line in lines} == {
        "error: README.md",
        "error: constitution.yaml",
    }
    assert hub.requests == []


def test_the_users_own_keys_are_found_whatever_their_form(
    hub: Hub, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "plain-words-as-a-key")
    (data_set / "notes.txt").write_text("one\nplain-words-as-a-key\n")
    (tmp_path / "token").write_text("an-older-token-without-form\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    (data_set / "more.txt").write_text("an-older-token-without-form")
    lines = mistakes(here("push", data_set, "me/rules"))
    assert [line.partition(";")[0] for line in lines] == [
        "error: more.txt:1: your Hugging Face token",
        "error: notes.txt:2: the value of the environment variable SOME_PROVIDER_API_KEY",
    ]
    assert hub.requests == []


def test_a_path_of_this_machine_stops_it(hub: Hub, data_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/someone")
    (data_set / "README.md").open("a").write(f"\nMade from {data_set}/prompts.jsonl.\n")
    (data_set / "sft" / "train.jsonl").open("a").write('{"prompt": "see /home/someone/plans/next.txt"}\n')
    places = [line.partition(": /")[0] for line in mistakes(here("push", data_set, "me/rules"))]
    assert [place.rpartition(":")[0] for place in places] == ["error: README.md", "error: sft/train.jsonl"]
    assert hub.requests == []
    readme = places[0].removeprefix("error: ")
    assert pushed(data_set, "me/rules", "--allow", readme, "--allow", "sft/train.jsonl")["changed"]


def test_texts_that_mention_paths_of_any_machine_are_sent(hub: Hub, data_set: Path):
    (data_set / "sft" / "train.jsonl").open("a").write('{"prompt": "edit /etc/hosts or /opt/tool/run.sh"}\n')
    (data_set / "notes.md").write_text("Never touch /etc/passwd or /usr/bin/env.\n")
    assert pushed(data_set, "me/rules")["changed"]


def test_a_local_base_model_is_no_base_for_others(hub: Hub, run: Path):
    for more in ((), ("--merged",)):
        (line,) = mistakes(here("push", run, "me/adapter", "--model", "dpo", *more))
        assert "the base model is a folder of this machine (models/tiny); accepted: --base OWNER/NAME" in line
    (line,) = mistakes(here("push", run, "me/adapter", "--model", "dpo", "--base", "tiny"))
    assert "--base: 'tiny' is not the name of a repository" in line
    assert hub.requests == []


def failed(run: Path, to: Path) -> Path:
    """Return a copy of a run that failed a gate."""
    copied = Path(shutil.copytree(run, to))
    metrics = json.loads((copied / "eval" / "metrics.json").read_text())
    metrics["gates_not_checked"] = ["compliance >= 0.8: not measured"]
    (copied / "eval" / "metrics.json").write_text(json.dumps(metrics))
    return copied


def test_a_run_that_failed_its_gates_is_refused_and_forced_with_a_card_that_says_so(
    hub: Hub, run: Path, tmp_path: Path
):
    copied = failed(run, tmp_path / "run")
    for options in ((), ("--model", "dpo", *BASE)):
        (line,) = mistakes(here("push", copied, "me/failed", *options))
        assert "the run failed 1 gate: compliance >= 0.8: not measured" in line
        assert hub.requests == []
        kind = "model" if options else "dataset"
        assert pushed(copied, "me/failed", *options, "--type", kind, "--force")["changed"]
        card = hub.files(kind, "me/failed")["README.md"].decode()
        assert "**The run failed a gate**, and was exported with --force:" in card
        hub.requests.clear()


def test_a_run_of_the_scripted_engine_is_refused_and_forced_with_a_card_that_says_so(
    hub: Hub, tmp_path: Path
):
    run = execute(RunRequest(write_project(tmp_path / "scripted")), Recorder()).folder
    (line,) = mistakes(here("push", run, "me/rules"))
    assert "the texts of policy, critic, labeler are from the scripted engine" in line
    data = tmp_path / "data"
    assert here("export", run, "--to", data).returncode == 0
    for what in (run, data):
        rehearsed = here("push", what, "me/rules", "--dry-run")
        (same,) = mistakes(rehearsed)
        assert same == line.replace(str(run), str(what))
        assert {"README.md", "soft/train.jsonl"} <= {
            row.split()[0] for row in rehearsed.stdout.split("\n") if row
        }
        assert "nothing was sent (--dry-run)" in rehearsed.stdout
        found = here("push", what, "me/rules", "--dry-run", "--json")
        assert (found.returncode, json.loads(found.stdout)["refused"]) == (2, same.removeprefix("error: "))
    assert hub.requests == []
    done = here("push", run, "me/rules", "--force")
    assert done.returncode == 0, done.stderr
    assert "stands in for a model; the card says so" in done.stderr
    assert "**No model wrote this**" in hub.files("dataset", "me/rules")["README.md"].decode()


def test_what_cannot_be_pushed_is_one_line(
    hub: Hub, project: Path, run: Path, data_set: Path, tmp_path: Path
):
    several = Path(shutil.copytree(project, tmp_path / "several"))
    shutil.copytree(several / "runs" / run.name, several / "runs" / "other-12345678")
    (tmp_path / "empty").mkdir()
    for arguments, expected in (
        ((tmp_path / "empty", "me/x"), "nothing to push in this folder"),
        ((tmp_path / "absent", "me/x"), "no such folder"),
        ((data_set / "README.md", "me/x"), "this is a file, not a folder"),
        ((several, "me/x"), "the project has 2 runs; accepted:"),
        ((run, "x"), "REPO: 'x' is not the name of a repository; accepted: OWNER/NAME"),
        ((run, "me/a..b"), "REPO: Cannot have -- or .. in repo_id: 'me/a..b'"),
        ((run, "models/me/x"), "is the address of a model, but what is pushed is a data set; accepted: me/x"),
        ((run, "me/x", "--type", "model"), "the run has 4 trained models; accepted: --model sft or --model"),
        ((run, "me/x", "--model", "grpo"), "this run has no grpo model"),
        ((run, "me/x", "--type", "dataset", "--model", "dpo"), "holds a model; accepted: model"),
        ((run, "me/x", "--merged"), "is pushed as a data set"),
        ((data_set, "me/x", "--type", "model"), "--type:"),
        ((data_set, "me/x", "--model", "dpo"), "is pushed as it is"),
    ):
        (line,) = mistakes(here("push", *arguments))
        assert expected in line, line
    assert hub.requests == []


def test_without_a_token_it_says_how_to_get_one(hub: Hub, data_set: Path, monkeypatch: pytest.MonkeyPatch):
    use_hub(hub.url, None, monkeypatch)
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert "no access token for the Hub is set" in line
    assert line.endswith("run: hf auth login, or set HF_TOKEN")
    assert hub.requests == []
    assert not pushed(data_set, "me/rules", "--dry-run")["sent"]


def test_tokens_that_are_wrong_or_may_only_read_are_one_line(
    hub: Hub, data_set: Path, monkeypatch: pytest.MonkeyPatch
):
    wrong = "hf_" + "aWrongTokenThatTheServerRefuses" + "zz"
    for token, expected in (
        (wrong, "the Hub does not accept the access token (401)"),
        (READ_TOKEN, "the access token may not do this (403: this token may only read)"),
    ):
        use_hub(hub.url, token, monkeypatch)
        done = here("push", data_set, "me/rules")
        (line,) = mistakes(done)
        assert expected in line
        assert token not in done.stderr + done.stdout
    assert hub.repositories == {}


def test_a_link_in_a_folder_is_not_followed(hub: Hub, data_set: Path, tmp_path: Path):
    (tmp_path / "private.txt").write_text("mine")
    (data_set / "notes.txt").symlink_to(tmp_path / "private.txt")
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert f"{data_set / 'notes.txt'}: this is a symbolic link" in line
    assert hub.requests == []


def test_the_owner_must_be_the_users(hub: Hub, data_set: Path):
    (line,) = mistakes(here("push", data_set, "other/rules"))
    assert 'no rights to create a dataset under "other"' in line


def test_a_public_repository_does_not_become_private(hub: Hub, data_set: Path):
    hub.make("dataset", "me/rules")
    (line,) = mistakes(here("push", data_set, "me/rules", "--private"))
    assert "--private:" in line
    assert "exists and is public" in line
    assert hub.files("dataset", "me/rules") == {}


def test_a_name_that_is_taken_by_the_other_type_wants_a_word(hub: Hub, data_set: Path):
    hub.make("model", "me/rules")
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert "me/rules exists, as a model, and what is pushed is a data set" in line
    assert ("dataset", "me/rules") not in hub.repositories
    assert pushed(data_set, "me/rules", "--type", "dataset")["changed"]


def test_the_rate_limit_is_one_line(hub: Hub, data_set: Path):
    hub.refusals["/api/repos/create"] = (429, {"Retry-After": "120"})
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert "the Hub's rate limit is reached" in line
    assert "the same command in 120 seconds" in line


def test_a_card_that_the_hub_refuses_is_one_line(hub: Hub, data_set: Path):
    use = (data_set / "README.md").read_text()
    hub.refusals["/api/validate-yaml"] = (400, {})
    assert use.startswith("---\n")
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert "the upload failed (Invalid metadata in README.md." in line


def test_a_hub_that_is_not_there_is_one_line(data_set: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        use_hub(url, TOKEN, monkeypatch)
        (line,) = mistakes(here("push", data_set, "me/rules"))
    assert f"{url}: the Hub cannot be reached" in line


def test_a_hub_without_xet_storage_is_one_line(hub: Hub, run: Path, tmp_path: Path):
    pytest.importorskip("hf_xet")
    arguments = ("push", run, "me/adapter", "--model", "dpo", *BASE)
    environment = process_environment(hub, tmp_path) | {"HF_HUB_DISABLE_XET": "0"}
    (line,) = mistakes(publius(*arguments, cwd=REPOSITORY, **environment))
    assert "HF_HUB_DISABLE_XET=1" in line
    assert hub.files("model", "me/adapter") == {}


def test_a_client_that_is_switched_off_is_one_line(hub: Hub, data_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (line,) = mistakes(here("push", data_set, "me/rules"))
    assert "HF_HUB_OFFLINE" in line
    assert not pushed(data_set, "me/rules", "--dry-run")["sent"]


def process_environment(hub: Hub, folder: Path) -> dict[str, str]:
    """Return the environment variables that direct a process to a hub."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "hf"),
        "HOME": str(folder / "home"),
    }


def test_a_process_is_directed_by_its_environment_alone(hub: Hub, data_set: Path, tmp_path: Path):
    done = publius("push", data_set, "me/rules", cwd=REPOSITORY, **process_environment(hub, tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/datasets/me/rules"
    assert hub.files("dataset", "me/rules") == contents(data_set)
