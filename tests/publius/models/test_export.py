"""`publius export --model`: whole models that plain transformers loads, of runs and of single trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.chat import Turn
from engines.config import ModelConfig
from engines.hf.reward_model import load_reward_model
from engines.loading import load_tokenizer, locate
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from tests.publius.invoking import here, options
from tests.publius.models.test_train_on_data import answered, base, outcome, pair, written
from tests.publius.test_cli import mistakes
from tests.publius.trainable import roomy, write_trainable

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

QUICK = options("optim.epochs=1", "reward.held_out=0.3")
MESSAGES = [
    {"role": "user", "content": "Why is the sky blue?"},
    {"role": "assistant", "content": "Air scatters blue light more than red."},
]


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trains a reward model and a policy, and no SFT."""
    run_file = write_trainable(tmp_path_factory.mktemp("project"), model, train="[reward, dpo]")
    done = here("run", run_file, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["run"])


@pytest.fixture(scope="module")
def sft(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an SFT on a data set."""
    folder = tmp_path_factory.mktemp("sft")
    data = written(folder / "answers.jsonl", [answered(number) for number in range(8)])
    outcome(*base("sft", data, model, folder / "to"), *options("sft.learning_rate=1e-2"))
    return folder / "to"


@pytest.fixture(scope="module")
def ensemble(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reward model of two members."""
    folder = tmp_path_factory.mktemp("ensemble")
    data = written(folder / "pairs.jsonl", [pair(number) for number in range(8)])
    outcome(*base("reward", data, model, folder / "to"), *options("reward.members=2"))
    return folder / "to"


def plain(folder: Path, kind: str) -> Any:
    """A model as transformers loads it, with nothing of ours."""
    import transformers

    return getattr(transformers, f"AutoModelFor{kind}").from_pretrained(folder, dtype="auto").eval()


def ids_of(folder: Path) -> torch.Tensor:
    """A conversation up to the end of the answer's turn, as a folder's own chat template writes it."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(MESSAGES, tokenize=False).rstrip()
    return tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=ids).logits


def exported(folder: Path, method: str, to: Path) -> Path:
    done = here("export", folder, "--model", method, "--to", to)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {to}\n"
    return to


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_policy_is_exported_with_the_logits_of_its_adapter(
    method: str, model: Path, run: Path, sft: Path, tmp_path: Path
):
    from peft import PeftModel

    trained, adapter = (run, run / "dpo") if method == "dpo" else (sft, sft)
    to = exported(trained, method, tmp_path / "to")
    ids = ids_of(to)
    assert ids.equal(ids_of(model))
    untouched = logits(plain(model, "CausalLM"), ids)
    expected = logits(PeftModel.from_pretrained(plain(model, "CausalLM"), adapter).eval(), ids)
    found = logits(plain(to, "CausalLM"), ids)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - untouched).abs().max() > 1e-3
    assert not (to / "adapter_config.json").exists()


def test_the_adapter_alone_is_exported_and_has_the_logits_of_its_training(
    run: Path, ensemble: Path, model: Path, tmp_path: Path
):
    from peft import PeftModel

    options_ = ("--model", "dpo", "--adapter", "--base", "owner/name", "--to", tmp_path / "to")
    done = here("export", run, *options_)
    assert done.returncode == 0, done.stderr
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == names
    ids = ids_of(model)
    expected, found = (
        logits(PeftModel.from_pretrained(plain(model, "CausalLM"), adapter).eval(), ids)
        for adapter in (run / "dpo", tmp_path / "to")
    )
    assert found.equal(expected)
    card = (tmp_path / "to" / "README.md").read_text()
    assert str(model) not in card
    assert 'base = "owner/name"' in card
    settings = json.loads((tmp_path / "to" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "owner/name"
    done = here("export", ensemble, "--model", "reward", "--adapter", "--to", tmp_path / "ensemble")
    assert done.returncode == 0, done.stderr
    members = {str(path.relative_to(tmp_path / "ensemble")) for path in tmp_path.glob("ensemble/*/*")}
    assert members == {f"member-{n}/{name}" for n in (0, 1) for name in names[1:]}
    assert (tmp_path / "ensemble" / "reward.json").is_file()


def test_reward_model_is_exported_with_the_score_that_publius_gives(run: Path, model: Path, tmp_path: Path):
    to = exported(run, "reward", tmp_path / "to")
    files = locate(ModelConfig(id=str(model)))
    encoder = TurnEncoder(load_tokenizer(files), {}, files.name)
    prompt = encoder.encode((Turn("user", (MESSAGES[0]["content"],)),)).ids
    answer = (*encoder.plain(MESSAGES[1]["content"]), *encoder.end_of_turn)
    (expected,) = load_reward_model(run / "reward", "cpu").scores([Tree(prompt, (answer,))])
    scorer = plain(to, "SequenceClassification")
    assert ids_of(to).tolist() == [[*prompt, *answer]]
    assert logits(scorer, ids_of(to)).item() == pytest.approx(expected, abs=1e-4)
    padded = torch.nn.functional.pad(ids_of(to), (0, 5), value=scorer.config.pad_token_id)
    assert logits(scorer, padded).item() == pytest.approx(expected, abs=1e-4)
    assert (to / "reward.json").read_bytes() == (run / "reward" / "reward.json").read_bytes()


def test_exported_reward_model_measures_as_its_adapter_does(run: Path, tmp_path: Path):
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(12)])
    to = exported(run, "reward", tmp_path / "to")
    found = []
    for number, folder in enumerate((to, run / "reward")):
        done = here("eval-reward", folder, "--data", data, "--to", tmp_path / f"report-{number}", "--json")
        found.append(json.loads(done.stdout))
    assert found[0]["nll"]["value"] == pytest.approx(found[1]["nll"]["value"], abs=1e-4)
    assert found[0]["accuracy"] == found[1]["accuracy"]


def test_exported_policy_is_trained_further(sft: Path, tmp_path: Path):
    to = exported(sft, "sft", tmp_path / "merged")
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    found = outcome(*base("dpo", data, to, tmp_path / "dpo"))
    settings = json.loads((tmp_path / "dpo" / "adapter_config.json").read_text())
    assert found["examples"] == 8
    assert settings["base_model_name_or_path"] == str(to)


def test_member_of_an_ensemble_is_exported_and_the_whole_is_refused(ensemble: Path, tmp_path: Path):
    (line,) = mistakes(here("export", ensemble, "--model", "reward", "--to", tmp_path / "to"))
    assert "an ensemble of 2 reward models cannot be merged into one model" in line
    assert str(ensemble / "member-0") in line
    exported(ensemble / "member-0", "reward", tmp_path / "to")
    assert plain(tmp_path / "to", "SequenceClassification").config.num_labels == 1


def test_ensemble_of_a_run_is_refused_as_one(run: Path, ensemble: Path, tmp_path: Path):
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copied / "reward")
    shutil.copytree(ensemble, copied / "reward")
    (line,) = mistakes(here("export", copied, "--model", "reward", "--to", tmp_path / "to"))
    assert "an ensemble of 2 reward models cannot be merged into one model" in line


def test_exported_model_has_the_card_of_its_training_which_loads_it_from_its_folder(
    run: Path, sft: Path, tmp_path: Path
):
    for folder, method, training in ((sft, "sft", sft), (run, "reward", run / "reward")):
        to = exported(folder, method, tmp_path / method)
        card, of_training = ((path / "README.md").read_text() for path in (to, training))
        assert "The trained LoRA adapter is merged into the weights." in card
        assert "peft" not in card.partition("## How it was trained")[0]
        assert 'base = "."  # this folder' in card
        assert card.partition("## How it was trained")[2] == of_training.partition("## How it was trained")[2]
    assert "fitted" in card  # the reward model's scale and temperature are told too


def test_training_of_which_no_card_is_known_is_exported_without_one(sft: Path, tmp_path: Path):
    copied = Path(shutil.copytree(sft, tmp_path / "copy"))
    for name, content in (("absent", None), ("broken", "{")):
        (copied / "card.json").unlink(missing_ok=True)
        if content:
            (copied / "card.json").write_text(content)
        assert not (exported(copied, "sft", tmp_path / name) / "README.md").exists()


def test_json_names_the_folder(sft: Path, tmp_path: Path):
    done = here("export", sft, "--model", "sft", "--to", tmp_path / "to", "--json")
    assert json.loads(done.stdout) == {"folder": str(tmp_path / "to")}


def test_what_cannot_be_exported_is_one_line_and_writes_nothing(run: Path, sft: Path, tmp_path: Path):
    to = tmp_path / "to"
    for folder, method, expected in (
        (run, "kto", "unknown method 'kto'; accepted: sft, reward, dpo, ppo, rloo, grpo, distill, steered"),
        (
            run,
            "sft",
            "this run has no sft model; accepted: reward, dpo; run: publius train sft RUN.yaml",
        ),
        (sft, "dpo", f"--model dpo: {sft} holds a model trained with sft; accepted: sft"),
        (tmp_path, "dpo", "not a run folder"),
        (tmp_path / "absent", "dpo", "not a run folder"),
    ):
        (line,) = mistakes(here("export", folder, "--model", method, "--to", to))
        assert expected in line
        assert not to.exists()


def test_training_has_no_data_set_to_export(sft: Path, ensemble: Path, tmp_path: Path):
    for folder in (sft, ensemble):
        (line,) = mistakes(here("export", folder, "--to", tmp_path / "to"))
        assert "is a training folder, not a run folder; give --model" in line
    assert not (tmp_path / "to").exists()


def test_folder_that_holds_something_is_refused(run: Path, tmp_path: Path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").write_text("mine")
    (line,) = mistakes(here("export", run, "--model", "dpo", "--to", tmp_path / "to"))
    assert "the folder is not empty" in line
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["mine"]


def test_base_model_that_is_gone_is_one_line(sft: Path, tmp_path: Path):
    copied = Path(shutil.copytree(sft, tmp_path / "copy"))
    settings = json.loads((copied / "adapter_config.json").read_text())
    gone = settings | {"base_model_name_or_path": str(tmp_path / "gone")}
    (copied / "adapter_config.json").write_text(json.dumps(gone))
    (line,) = mistakes(here("export", copied, "--model", "sft", "--to", tmp_path / "to"))
    assert f"{tmp_path / 'gone'}: no such model folder" in line


def test_a_model_is_one_file_for_llama_cpp(run: Path, tmp_path: Path):
    import transformers

    result = here("export", run, "--model", "dpo", "--gguf", "f16", "--to", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    file = Path(json.loads(result.stdout)["file"])
    assert sorted(path.name for path in file.parent.iterdir()) == ["Modelfile", "README.md", file.name]
    whole = here("export", run, "--model", "dpo", "--to", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    source = plain(tmp_path / "whole", "CausalLM")
    read = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    ).eval()
    ids = ids_of(tmp_path / "whole")
    with torch.inference_mode():
        difference = source(ids).logits.log_softmax(-1) - read(ids).logits.log_softmax(-1)
    assert float(difference.abs().max()) < 0.02
    lines = (file.parent / "Modelfile").read_text().splitlines()
    assert lines[0] == f"FROM ./{file.name}"
    assert lines[-1] == 'PARAMETER stop "<|im_end|>"'
    reward = here("export", run, "--model", "reward", "--gguf", "f16", "--to", tmp_path / "reward")
    assert "a reward model cannot be a GGUF file" in mistakes(reward)[0]
    both = here("export", run, "--model", "dpo", "--adapter", "--gguf", "f16", "--to", tmp_path / "x")
    assert "give only one of --adapter and --gguf" in both.stderr
    alone = here("export", run, "--adapter", "--to", tmp_path / "x")
    assert "--adapter: only with --model METHOD" in alone.stderr
    refused = here("export", run, "--gguf", "f16", "--to", tmp_path / "x")
    assert refused.returncode == 2
    assert "--gguf: only with --model METHOD" in refused.stderr
