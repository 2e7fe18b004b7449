"""The card of a trained model: what it tells, that it cannot be broken, and that its program runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from core.records import Metric
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.reward_settings import RewardSettings
from publius.models.card import CardContent, model_card
from publius.models.hub.shared_base import EMBEDDED_ON_HUB, shared_base
from publius.models.merge import merge_adapter
from tests.publius.models.test_merge import loaded, worn, write_adapter

BARE = CardContent(
    name="support",
    method="dpo",
    base_model="Qwen/Qwen3-8B",
    examples=1200,
    steps=19,
    seconds=61.4,
    data_origin="pairs.jsonl (1,234 rows)",
    versions={"publius": "0.1.0", "torch": "2.13.0"},
)
FULL = replace(
    BARE,
    method="reward",
    data_digest="ab" * 32,
    held_out=100,
    truncated=7,
    best_step=12,
    tokens=34_567,
    excluded={"chosen and rejected are the same": 31, "longer than optim.max_length": 3},
    ignored_columns=("score", "chosen[].name"),
    sources={"ai": 900, "human": 300},
    settings={
        "learning_rate": 1e-4,
        "bf16": True,
        "patience": None,
        "lora.targets": ["q_proj"],
        "loss": "ipo",
    },
    metrics={"loss": 0.51234567, "rewards/margins": 1.5},
    evaluation=(Metric(name="reward.accuracy", value=0.7, low=0.6, high=0.8, n=1000, unit="share"),),
    constitution="harmless",
    constitution_digest="cd" * 32,
    reward=RewardSettings(mean=0.25, std=2.0, temperature=1.5),
)


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


def rows(card: str) -> dict[str, list[str]]:
    """The rows of all tables, by their first cell; a bar that is escaped parts nothing."""
    lines = [line for line in card.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in cells}


def program(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    return code


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_front_matter_names_base_model_library_and_method():
    assert front_matter(model_card(BARE)) == {
        "base_model": "Qwen/Qwen3-8B",
        "library_name": "peft",
        "tags": ["publius", "dpo"],
    }
    found = front_matter(model_card(replace(FULL, merged=True)))
    assert (found["library_name"], found["tags"]) == ("transformers", ["publius", "reward-trainer"])


@pytest.mark.parametrize("base", ['a: "b" #c', "- x", "/models/Qwen 3 {8B}", "é" * 200, "yes"])
def test_front_matter_is_yaml_whatever_the_base_model_is_called(base: str):
    assert front_matter(model_card(replace(BARE, base_model=base)))["base_model"] == base


def test_everything_that_was_given_is_told():
    card = model_card(FULL)
    table = rows(card)
    assert table["examples"] == ["1,200"]
    assert table["steps"] == ["19"]
    assert table["weights from step"] == ["12"]
    assert table["tokens in one epoch"] == ["34,567"]
    assert table["prompts truncated to fit"] == ["7"]
    assert table["seconds"] == ["61"]
    assert (table["ai"], table["human"]) == (["900"], ["300"])
    assert table["`reward.accuracy`"] == ["70.0 [60.0, 80.0]", "%", "1,000"]
    assert table["`loss`"] == ["0.5123"]
    for said in (
        "- chosen and rejected are the same: 31\n- longer than optim.max_length: 3\n",
        "Data: pairs.jsonl (1,234 rows)\n(SHA-256 `" + "ab" * 32,
        "Ignored columns: `score`, `chosen[].name`",
        "under the constitution harmless",
        "`" + "cd" * 32 + "`",
        "/ 1.5) is the probability that A is the better answer\n  (the temperature was fitted on",
        "(score - 0.25) / 2 has mean 0",
        "- publius 0.1.0\n- torch 2.13.0\n",
    ):
        assert said in card


def test_settings_stand_as_in_a_run_file():
    table = rows(model_card(FULL))
    assert table["`learning_rate`"] == ["`0.0001`"]
    assert table["`bf16`"] == ["`true`"]
    assert table["`patience`"] == ["`null`"]
    assert table["`lora.targets`"] == ['`["q_proj"]`']


def test_what_was_not_given_leaves_no_empty_section():
    card = model_card(BARE)
    assert "Excluded from training:\n\nNo examples.\n" in card
    for missing in (
        "Settings",
        "Evaluation",
        "Metrics at the last step",
        "by source",
        "SHA-256",
        "constitution",
        "None",
    ):
        assert missing not in card
    for content in (BARE, FULL):
        assert "\n\n\n" not in model_card(content)


def test_limits_say_what_kind_of_labels_and_model_it_was():
    assert "agreement with that model, not with annotators" in model_card(FULL)
    assert "can be exploited" in model_card(FULL)
    people = model_card(replace(BARE, sources={"aisha": 3}))
    assert "agreement with that model" not in people
    assert "can be exploited" not in people
    embedded = replace(BARE, base_model=f"/home/me/.cache/publius/{EMBEDDED_NAME}-b179c952-v1")
    assert "not suitable for real use" in model_card(embedded)
    assert "not suitable for real use" not in people


def test_temperature_that_was_not_fitted_is_called_so():
    assert "(the temperature was not fitted)" in model_card(replace(FULL, reward=RewardSettings()))


def test_ensemble_names_its_members_and_how_they_are_combined():
    members = RewardSettings(members=("member-0", "member-1"), combine="uncertainty", uncertainty=0.25)
    card = model_card(replace(FULL, reward=members))
    assert "the adapters in `member-0`, `member-1`, each" in card
    assert "minus 0.25 times their variance" in card
    assert 'PeftModel.from_pretrained(model, "member-0")' in card
    assert "ensemble" not in model_card(FULL)


def parsed(card: str) -> tuple[list[str], list[str]]:
    """The card's structure as a Markdown parser sees it, and its pieces of text."""
    structure: list[str] = []
    texts: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2]):
        structure.append(token.type)
        structure += [child.type for child in token.children or ()]
        texts.append("".join(child.content for child in token.children or ()))
    return structure, texts


def named(text: str) -> str:
    """A card in which every text that a user may have written is this one."""
    texts = dict.fromkeys(("name", "constitution", "data_origin"), text)
    counts = {"excluded": {text: 3}, "sources": {text: 5}, "settings": {text: text}}
    return model_card(replace(FULL, **texts, **counts, ignored_columns=(text,)))


@pytest.mark.parametrize(
    "text",
    [
        *("a | b", "a\n# b", "**a**", "_a_", "<script>a</script>", "[a](b)", "![a](b)", "`a`", "``", "~~~"),
        *("# a", "- a", "+ a", "===", "---", "> a", "&lt;", "{{ 7 * 7 }}", "{% raw %}", "\\|", "\\", "a_b_c"),
    ],
)
def test_text_of_users_is_never_markup_or_template(text: str):
    plain, shown = parsed(named("word")), parsed(named(text))
    assert [kind for kind in shown[0] if kind != "text_special"] == plain[0]
    one_line = " ".join(text.split())
    expected = {said.replace("word", one_line) for said in plain[1]}
    code = one_line.replace("`", "'")
    assert set(shown[1]) - expected <= {code, f"Ignored columns: {code}"}


@pytest.fixture
def trained(tiny_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write_adapter(loaded(tiny_folder, request.param), tmp_path / "trained", request.param)


@pytest.mark.parametrize("trained", ["CAUSAL_LM"], indirect=True)
@pytest.mark.parametrize("merged", [False, True])
def test_program_on_a_policys_card_answers(
    tiny_folder: Path, trained: Path, merged: bool, monkeypatch: pytest.MonkeyPatch
):
    if merged:
        trained = merge_adapter(trained, trained.with_name("merged"), ModelConfig(id=str(tiny_folder)))
    monkeypatch.chdir(trained)
    content = replace(BARE, base_model=str(tiny_folder), merged=merged)
    names = run(program(model_card(content)).replace("max_new_tokens=200", "max_new_tokens=5"))
    assert names["output"].shape[1] <= names["inputs"]["input_ids"].shape[1] + 5
    assert isinstance(names["answer"], str)


@pytest.mark.parametrize("trained", ["SEQ_CLS"], indirect=True)
@pytest.mark.parametrize("merged", [False, True])
def test_program_on_a_reward_models_card_scores_at_the_end_of_the_turn(
    tiny_folder: Path, trained: Path, merged: bool, monkeypatch: pytest.MonkeyPatch
):
    import torch

    from core.chat import Turn
    from engines.loading import load_tokenizer, locate
    from engines.tokenization import TurnEncoder

    files = locate(ModelConfig(id=str(tiny_folder)))
    encoder = TurnEncoder(load_tokenizer(files), {}, files.name)
    asked = encoder.encode((Turn("user", ("Why is the sky blue?",)),)).ids
    answer = encoder.plain("Air scatters blue light more than red.")
    ids = torch.tensor([[*asked, *answer, *encoder.end_of_turn]])
    model = worn(loaded(tiny_folder, "SEQ_CLS"), trained)
    model.config.pad_token_id = None
    with torch.inference_mode():
        expected = model(input_ids=ids).logits[0, 0].item()
    if merged:
        trained = merge_adapter(trained, trained.with_name("merged"), ModelConfig(id=str(tiny_folder)))
    monkeypatch.chdir(trained)
    names = run(program(model_card(replace(FULL, base_model=str(tiny_folder), merged=merged, reward=None))))
    assert names["inputs"]["input_ids"].tolist() == ids.tolist()
    assert names["score"] == pytest.approx(expected, abs=1e-5)


def test_card_says_that_no_model_wrote_the_texts_it_learned_from():
    said = "**No model wrote this**: the texts of policy, critic are from the scripted engine"
    assert said in model_card(replace(BARE, stand_ins=("policy", "critic")))
    assert "No model wrote this" not in model_card(BARE)


def test_what_speaks_against_a_training_is_said_before_everything_else():
    few = replace(
        BARE,
        examples=1,
        excluded={"the chosen answer was cut before its end": 7},
        stand_ins=("labeler",),
        caveats=("Position decided 85% of the AI labeler's judgments: hardly better than chance.",),
    )
    first = model_card(few).partition("# support\n")[2].partition("A language model trained")[0]
    assert "**No model judged this**: the labels of the AI labeler are from the scripted engine" in first
    assert "**Few examples**: it learned from only 1 of 8 pairs (7 excluded, 7 of them because: the" in first
    assert "Position decided 85%" in first
    assert rows(model_card(few))["excluded"] == ["7"]
    assert "Few examples" not in model_card(replace(few, examples=4, excluded={"a tie": 4}))


def test_a_card_for_others_names_no_path(tmp_path: Path):
    embedded = shared_base(f"/home/me/.cache/publius/{EMBEDDED_NAME}-b179c952-v1", tmp_path)
    assert embedded.name == EMBEDDED_ON_HUB
    own = shared_base("/data/ours", tmp_path)
    for base in (embedded, own):
        card = model_card(replace(BARE, base_model=base.name), base.note)
        assert "/home/me" not in card
        assert "/data/ours" not in card
        assert f'base = "{base.name}"' in card
        assert base.note[:40] in card
        assert "\n\n\n" not in card
    assert "base_model" not in front_matter(model_card(replace(BARE, base_model=own.name)))
    assert shared_base("Qwen/Qwen3-8B", tmp_path) == ("Qwen/Qwen3-8B", "")
