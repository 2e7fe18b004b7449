"""The exported folder in the hands of `datasets` and TRL."""

import json
import math
import shutil
from pathlib import Path

import pytest
import yaml

from core.errors import ConfigError, RunStateError
from engines.embedded import ensure_embedded
from publius.config.card_terms import CardTerms
from publius.runs.dataset import export_run
from publius.runs.exporting.splitting import TestSplit
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.pairs.labelled_by import LabelledBy
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.people import person
from tests.publius.projects import Recorder, write_project


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    run_file = write_project(project, prompts=40)
    rows = list(map(json.loads, (project / "prompts.jsonl").read_text().splitlines()))
    tagged = [row | ({"tags": ["calm", "sums"]} if n % 2 else {}) for n, row in enumerate(rows)]
    (project / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tagged))
    folder = execute(RunRequest(run_file), Recorder()).folder
    counts = export_run(folder, project / "export").rows
    return project / "export", counts


def test_each_configuration_loads_with_all_its_rows(exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder, counts = exported
    assert set(counts) == {"sft", "preference", "kto", "soft", "judgments"}
    for name, count in counts.items():
        loaded = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path))
        assert sum(split.num_rows for split in loaded.values()) == count > 0
    preference = datasets.load_dataset(str(folder), "preference", split="train", cache_dir=str(tmp_path))
    assert set(preference.column_names) == {"prompt", "chosen", "rejected", "tags", "comparison_id"}
    judged = datasets.load_dataset(str(folder), "judgments", split="train", cache_dir=str(tmp_path))
    assert set(preference["comparison_id"]) <= set(judged["comparison_id"])
    assert preference[0]["chosen"][0]["role"] == "assistant"


def test_parquet_has_the_rows_columns_and_types_of_the_lines(exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder, counts = exported
    (run,) = (folder.parent / "runs").iterdir()
    assert export_run(run, tmp_path / "parquet", form="parquet").rows == counts
    for name in ("soft", "judgments"):
        assert {path.name for path in (tmp_path / "parquet" / name).iterdir()} == {
            f"{path.stem}.parquet" for path in (folder / name).iterdir()
        }
        lines = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "one"))
        found = datasets.load_dataset(str(tmp_path / "parquet"), name, cache_dir=str(tmp_path / "two"))
        assert found["train"].features == lines["train"].features
        assert {split: rows.to_list() for split, rows in found.items()} == {
            split: rows.to_list() for split, rows in lines.items()
        }


def test_no_prompt_stands_in_train_and_test(exported):
    folder, _ = exported
    for config in ("preference", "soft"):
        splits = [
            {json.dumps(json.loads(line)["prompt"]) for line in path.read_text().splitlines()}
            for path in sorted((folder / config).glob("*.jsonl"))
        ]
        assert len(splits) == 2
        assert not splits[0] & splits[1]


def test_filters_leave_rows_out_of_every_configuration_and_count_them(exported, tmp_path):
    folder, counts = exported
    rows = [
        json.loads(line) for path in (folder / "soft").glob("*") for line in path.read_text().splitlines()
    ]
    least = sorted(row["p_chosen"] for row in rows)[len(rows) // 2]
    kept = {row["comparison_id"] for row in rows if row["p_chosen"] >= least}
    (run,) = (folder.parent / "runs").iterdir()
    found = export_run(run, tmp_path / "some", conditions=PreferenceFilter.of(least))
    assert (found.rows["soft"], found.rows["sft"]) == (len(kept), counts["sft"])
    assert found.left_out["soft"] == {f"with p of the chosen answer below {least:g}": len(rows) - len(kept)}
    judged = "".join(path.read_text() for path in (tmp_path / "some" / "judgments").glob("*")).splitlines()
    assert {json.loads(line)["comparison_id"] for line in judged} == kept
    assert found.left_out["judgments"] == {"about a pair that is left out": counts["judgments"] - len(judged)}
    assert (
        f"- export of soft: {len(rows) - len(kept)} (with p of"
        in (tmp_path / "some" / "README.md").read_text()
    )


def test_a_run_that_holds_out_nothing_exports_no_test_split(tmp_path):
    overrides = ("split={train: 0.5, preference: 0.5, test: 0}",)
    run = execute(RunRequest(write_project(tmp_path, prompts=40), overrides), Recorder()).folder
    found = export_run(run, tmp_path / "export")
    assert {split for splits in found.splits.values() for split in splits} == {"train"}
    assert "prompts and their rows are in the split train." in (tmp_path / "export" / "README.md").read_text()


def test_the_share_of_the_test_split_can_be_chosen_and_both_sides_are_counted(exported, tmp_path):
    folder, counts = exported
    (run,) = (folder.parent / "runs").iterdir()
    said = here("export", run, "--to", tmp_path / "half", "--test-share", 0.5).stdout
    assert "17 prompts in train, 18 prompts in test" in said
    card = " ".join((tmp_path / "half" / "README.md").read_text().split())
    assert "The test split has 18 of 35 prompts" in card
    assert "on average" not in card.partition("## Where it is from")[0]
    assert export_run(run, tmp_path / "none", test_share=0).splits["soft"] == {"train": counts["soft"]}
    assert (
        "All 35 prompts and their rows are in the split train."
        in (tmp_path / "none" / "README.md").read_text()
    )


def test_card_and_summary_count_the_test_prompts_that_resemble_training_prompts(
    exported, tmp_path, monkeypatch
):
    folder, _ = exported
    (run,) = (folder.parent / "runs").iterdir()
    monkeypatch.setattr(TestSplit, "alike", lambda _: 0)
    export_run(run, tmp_path / "distinct", test_share=0.5)
    card = (tmp_path / "distinct" / "README.md").read_text()
    assert "No test prompt has a similarity of 0.5 or more to a training prompt if all grams count." in card
    monkeypatch.undo()
    said = here("export", run, "--to", tmp_path / "alike", "--test-share", 0.5).stderr
    assert "18 of 18 test prompts resemble a training prompt" in said  # all are of one template
    assert "--test-similarity 0.5 or --test-by COLUMN keeps such prompts in one split" in said
    card = (tmp_path / "alike" / "README.md").read_text()
    assert "**18 of the 18 test prompts resemble a training prompt** (a similarity of at least 0.5" in card
    done = here("export", run, "--to", tmp_path / "one", "--test-share", 0.5, "--test-similarity", 0.5)
    missed = (
        "the test split has no prompt for a share of 0.5: groups of prompts that stay together are not "
        "divided, and the smallest has 35 of 35"
    )
    assert f"warning: {missed}" in done.stderr
    assert missed in (tmp_path / "one" / "README.md").read_text()


def test_each_answer_of_a_pair_is_a_labelled_row_and_kto_is_no_form(exported, tmp_path):
    folder, _ = exported
    pairs, answers = rows_of(folder, "preference"), rows_of(folder, "kto")
    better = {(str(row["prompt"]), str(row["chosen"])) for row in pairs}
    worse = {(str(row["prompt"]), str(row["rejected"])) for row in pairs}
    assert {(str(row["prompt"]), str(row["completion"])) for row in answers if row["label"]} == better
    assert {(str(row["prompt"]), str(row["completion"])) for row in answers if not row["label"]} == worse
    assert all((row["p_better"] > 0.5) == row["label"] for row in answers)
    assert {id for row in answers for id in row["comparison_ids"]} == {row["comparison_id"] for row in pairs}
    (run,) = (folder.parent / "runs").iterdir()
    refused = here("export", run, "--to", tmp_path / "to", "--format", "kto")
    assert (refused.returncode, 'load_dataset(DIR, "kto")' in refused.stderr) == (2, True)


def test_every_configuration_has_the_tags_of_its_prompts(exported):
    folder, counts = exported
    for name, rows in ((name, rows_of(folder, name)) for name in counts):
        for row in rows:
            is_odd = int(row["prompt"][0]["content"].split()[2].rstrip(":")) % 2
            assert row["tags"] == (["calm", "sums"] if is_odd else []), name


def rows_of(folder: Path, config: str) -> list[dict]:
    return [
        json.loads(line) for path in (folder / config).glob("*") for line in path.read_text().splitlines()
    ]


def test_ties_are_in_soft_and_not_in_preference(exported):
    folder, counts = exported
    rows = [
        json.loads(line) for path in (folder / "soft").glob("*") for line in path.read_text().splitlines()
    ]
    assert counts["preference"] == sum(row["p_chosen"] > 0.5 for row in rows)
    assert all(0.5 <= row["p_chosen"] <= 1 for row in rows)


def test_the_card_tells_constitution_counts_and_models(exported):
    folder, counts = exported
    card = (folder / "README.md").read_text()
    assert "some-model" in card
    assert "The reply uses plain words." in card
    assert f"| `soft` | {counts['soft']} |" in card


def test_the_card_says_who_labelled_how_much_without_names(exported):
    folder, _ = exported
    rows = [
        json.loads(line)
        for path in (folder / "judgments").glob("*")
        for line in path.read_text().splitlines()
    ]
    by_check = [row for row in rows if row["labeler"] == "check"]
    pairs = len({row["comparison_id"] for row in by_check})
    card = (folder / "README.md").read_text()
    assert f"| `check` | {len(by_check)} | {pairs} | machine checks of the constitution |" in card
    assert "| `ai` |" in card
    counted = LabelledBy()
    said = [person("c0", "a"), person("c1", "b"), person("c1", "a", "ben")]
    said.append(person("c1", "a", supersedes=said[1].id))
    assert list(counted.passing(iter(said))) == said
    (crowd,) = counted.sources()
    assert (crowd.judgments, len(crowd.comparisons)) == (3, 2)
    assert crowd.who == "2 annotators: 2 and 1 judgments"


def test_the_card_states_licence_and_language_where_they_are_given(exported, tmp_path: Path):
    folder, _ = exported
    assert "No licence is stated." in (folder / "README.md").read_text()
    (run,) = (folder.parent / "runs").iterdir()
    export_run(run, tmp_path / "out", terms=CardTerms.of("CC-BY-4.0", ["en", "de", "en"]))
    card = (tmp_path / "out" / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["license"], header["language"]) == ("cc-by-4.0", ["en", "de"])
    assert "Licence: `cc-by-4.0`. Language: en, de." in card


@pytest.mark.parametrize(("license", "languages"), [("CC BY 4.0", []), (None, ["english"])])
def test_a_licence_or_language_that_no_hub_knows_is_refused(license: str | None, languages: list[str]):
    with pytest.raises(ConfigError, match="is not the"):
        CardTerms.of(license, languages)


def test_the_card_has_the_name_of_a_local_model_and_not_its_path(tmp_path: Path):
    run = execute(RunRequest(write_project(tmp_path)), Recorder()).folder
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["models"]["policy"] = "/home/someone/models/their-model"
    (run / "manifest.json").write_text(json.dumps(manifest))
    export_run(run, tmp_path / "to")
    card = (tmp_path / "to" / "README.md").read_text()
    assert "policy `their-model`" in card
    assert "/home/someone" not in card


def test_the_card_says_that_texts_are_stand_ins(exported):
    folder, _ = exported
    card = (folder / "README.md").read_text()
    said = "**No model wrote this**: the texts of policy, critic, labeler are from the scripted engine"
    assert said in card


def test_nothing_is_overwritten_and_an_unlabelled_run_is_refused(exported, tmp_path):
    folder, _ = exported
    run = execute(RunRequest(write_project(tmp_path), stages=("critique",)), Recorder()).folder
    with pytest.raises(RunStateError, match="no preferences yet"):
        export_run(run, tmp_path / "out")
    finished = execute(RunRequest(tmp_path / "run.yaml"), Recorder()).folder
    with pytest.raises(RunStateError, match="not empty"):
        export_run(finished, folder)


@pytest.mark.slow
def test_trl_tokenizes_the_preferences_as_they_are(exported, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    folder, _ = exported
    rows = datasets.load_dataset(str(folder), "preference", split="train", cache_dir=str(tmp_path))
    args = trl.DPOConfig(
        output_dir=str(tmp_path / "dpo"), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[]
    )
    trainer = trl.DPOTrainer(model=str(ensure_embedded()), args=args, train_dataset=rows)
    tokenized = trainer.train_dataset
    assert tokenized.num_rows == rows.num_rows
    assert {"prompt_ids", "chosen_ids", "rejected_ids"} <= set(tokenized.column_names)
    text = trainer.processing_class.decode(tokenized[0]["chosen_ids"])
    assert rows[0]["chosen"][0]["content"] in text


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A chat model of 11,000 weights."""
    recorded = Path(__file__).parents[1] / "recorded" / "project" / "models" / "tiny"
    return Path(shutil.copytree(recorded, tmp_path_factory.mktemp("models") / "tiny"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["DPO", "Reward", "KTO"])
def test_the_exported_preferences_train_in_trls_own_trainers(
    method: str, exported, tiny: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    folder, counts = exported
    name = "kto" if method == "KTO" else "preference"
    rows = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
    args = getattr(trl, f"{method}Config")(
        output_dir=str(tmp_path / "trained"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        max_length=None,
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = getattr(trl, f"{method}Trainer")(
        model=str(tiny), args=args, train_dataset=rows["train"], eval_dataset=rows["test"]
    )
    assert trainer.train_dataset.num_rows + trainer.eval_dataset.num_rows == counts[name]
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert any(not weight.equal(before[name]) for name, weight in trainer.model.named_parameters())
    assert math.isfinite(trainer.evaluate()["eval_loss"])
