"""`publius train judge`: from preferences to a judge on disk, on a tiny model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from constitution.checks.kinds import MaxWords
from constitution.loader import load_constitution
from core.errors import ConfigError, DataError, EngineError, RunStateError
from core.records import Message, Prompt
from engines.config import EngineConfig, ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.hf.engine import TransformersEngine
from engines.judge.model import JudgeModel, read_probe
from engines.judge.settings import JUDGE_FILE, JUDGE_WEIGHTS, read_judge_settings
from engines.loading import load_tokenizer, locate
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.models import train_judge as module
from publius.models.judges.figures import figures_by_kind
from publius.models.train_judge import STATES_FILE, JudgeTraining, train_judge
from publius.sources.examples import DataSource
from publius.sources.judges.gold import default_sources, gold_sources
from tests.publius.invoking import here
from tests.publius.judges import model_of_bytes
from training.judge.adapter import JudgeAdapterConfig
from training.judge.probe import GoldLabel

TOPICS = (
    "bread",
    "rain",
    "a bicycle",
    "the moon",
    "a garden",
    "old maps",
    "tea",
    "snow",
    "the sea",
    "a clock",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any) -> Path:
    return model_of_bytes(tmp_path_factory.mktemp("models") / "judged", tiny_model, tiny_tokenizer)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Preferences in which the better reply shouts: even a random model's states tell them apart."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = []
    for n in range(60):
        topic = TOPICS[n % 10]
        calm, loud = f"Say {n} of {topic}.", f"SAY {n} OF {topic.upper()} NOW!!!"
        rows.append({"prompt": f"Tell me {n} things about {topic}.", "chosen": loud, "rejected": calm})
    rows.append({"prompt": "Too long.", "chosen": "x" * 5000, "rejected": "short"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def asked(pairs: Path, model: Path, to: Path, **options: Any) -> JudgeTraining:
    given = {"sources": ("pairs",), "layers": (1, 2), "device": "cpu", "length": "keep", **options}
    return JudgeTraining(DataSource(str(pairs)), "helpful-honest-harmless", str(model), to, **given)


@pytest.fixture(scope="module")
def trained(pairs: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_judge(asked(pairs, model, tmp_path_factory.mktemp("judges") / "shouting"))


def test_judge_learns_what_the_labels_prefer(trained: Any):
    settings = read_judge_settings(trained.folder)
    assert settings == trained.settings
    assert settings.kinds["pairs"].accuracy >= 0.9
    assert settings.held_out["pairs"].accuracy >= 0.9
    assert settings.held_out["pairs"].nll < np.log(2)
    assert settings.labels + settings.held_out["pairs"].labels == 60
    assert settings.abstains == ()
    assert settings.model.dtype == "float32"  # resolved, since `auto` differs by device
    assert trained.excluded == {"the question is too long for the judge's model": 1}
    assert len(trained.choice.tried) == (2 * 3 + 1) * 6
    assert not settings.blind_to_length


def test_saved_judge_gives_the_log_odds_of_the_probe(trained: Any):
    constitution = load_constitution("helpful-honest-harmless")
    judge = JudgeModel(trained.folder, "cpu")
    asking = Questions(constitution, PromptTemplates())
    prompt = Prompt.of((Message(role="user", content="Tell me about ink."),))
    principle = constitution.principles[0]
    asked = [asking.pointwise(principle, prompt, reply) for reply in ("INK!!!", "Ink.")]
    loud, calm = judge.log_odds(list(map(judge.question, asked)))
    assert loud > calm
    weight, bias = read_probe(trained.folder)
    state = judge.source.reader.read([judge.source.row(asked[0])], [judge.settings.layer])[0, 0].double()
    assert loud == pytest.approx(float(state @ weight + bias), abs=1e-5)


def test_hidden_states_are_computed_once(
    pairs: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from engines.judge.states import StateReader

    first = train_judge(asked(pairs, model, tmp_path / "judge"))
    original, read = StateReader.read, []

    def noted(self: Any, rows: Any, layers: Any) -> Any:
        read.append(len(rows))
        return original(self, rows, layers)

    monkeypatch.setattr(StateReader, "read", noted)
    again = train_judge(asked(pairs, model, tmp_path / "judge"))
    assert sum(read) <= 3  # the check of a loaded model, at most
    assert again.settings == first.settings
    assert (tmp_path / "judge" / STATES_FILE).exists()


def test_checks_give_labels_in_held_out_wordings(pairs: Path, model: Path, tmp_path: Path):
    trained = train_judge(asked(pairs, model, tmp_path / "judge", sources=("checks",), per_kind=6))
    settings = trained.settings
    assert {"max_words", "starts_with", "json"} <= settings.kinds.keys()
    assert "pairs" not in settings.kinds
    assert settings.kinds["max_words"].labels == 6
    assert settings.held_out["max_words"].labels == 3
    assert settings.unavailable["refusal"] == 6 + 4
    assert "refusal" in settings.abstains


def test_gold_is_said_before_hidden_states_are_read(pairs: Path, model: Path, tmp_path: Path, caplog: Any):
    caplog.set_level("INFO")
    trained = train_judge(asked(pairs, model, tmp_path / "judge", sources=("pairs", "checks"), per_kind=6))
    (said,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("gold: ")]
    assert said.startswith("gold: 60 preferences (120 hidden states), ")
    assert "kinds of machine checks" in said
    assert said.endswith("--per-kind N for fewer, --gold pairs for none of machine checks")
    assert set(trained.settings.gold) == {"pairs", "checks"}


def test_default_gold_is_the_labels_alone_where_no_principle_has_a_check():
    loaded = load_constitution("helpful-honest-harmless")
    rules = tuple(principle.model_copy(update={"check": None}) for principle in loaded.principles)
    unchecked = loaded.model_copy(update={"principles": rules})
    short = unchecked.principles[0].model_copy(update={"check": MaxWords(kind="max_words", value=9)})
    checked = unchecked.model_copy(update={"principles": (short, *unchecked.principles[1:])})
    assert default_sources(unchecked, has_labels=True) == ("pairs", "replies")
    assert default_sources(unchecked, has_labels=False) == ("pairs", "replies", "checks")
    assert default_sources(checked, has_labels=True) == ("pairs", "replies", "checks")
    assert gold_sources([]) is None


def test_accuracy_of_pairs_counts_either_orientation_and_halves_ties():
    targets, scores = (1.0, 0.0, 1.0, 0.0, 0.5), np.array([2.0, -1.0, -1.0, -3.0, 4.0])
    labels = [GoldLabel(0, 1, target, f"{n}", "pairs") for n, target in enumerate(targets)]
    figure = figures_by_kind(labels, scores)["pairs"]
    assert (figure.labels, figure.accuracy) == (5, pytest.approx(3.5 / 5))
    alone = [GoldLabel(n, None, target, f"{n}", "json") for n, target in enumerate(targets[:3])]
    assert figures_by_kind(alone, scores[:3])["json"].accuracy == pytest.approx((1 / 2 + 1) / 2)


def test_other_weights_are_refused(trained: Any, tiny_model: Any, tmp_path: Path):
    settings = json.loads((trained.folder / JUDGE_FILE).read_text())
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / JUDGE_WEIGHTS).write_bytes((trained.folder / JUDGE_WEIGHTS).read_bytes())
    (folder / JUDGE_FILE).write_text(json.dumps({**settings, "identity": "0" * 32}))
    with pytest.raises(EngineError, match="is not the model that the judge was trained on"):
        JudgeModel(folder, "cpu")


def test_labelled_replies_are_gold(pairs: Path, model: Path, tmp_path: Path):
    labelled = tmp_path / "labelled.jsonl"
    rows: list[dict[str, Any]] = [
        {"prompt": f"Tell me {n} more things.", "completion": text, "label": good}
        for n in range(40)
        for text, good in ((f"SAY {n} NOW!!!", True), (f"Say {n}.", False))
    ]
    rows += [
        {"prompt": "And then?", "completion": "Nothing.", "label": "perhaps"},
        {"completion": "No prompt."},
    ]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = asked(
        pairs, model, tmp_path / "judge", sources=("replies",), labelled=DataSource(str(labelled))
    )
    trained = train_judge(request)
    settings = trained.settings
    assert settings.gold == {"replies": f"{settings.labels} labelled replies"}
    assert settings.kinds.keys() == {"replies"}
    assert settings.held_out["replies"].accuracy >= 0.9
    assert settings.labels + settings.held_out["replies"].labels == 80
    assert sum(trained.excluded.values()) == 2
    with pytest.raises(DataError, match=r"no labelled replies; found columns: prompt, chosen, rejected; acc"):
        train_judge(asked(pairs, model, tmp_path / "other", labelled=DataSource(str(pairs))))


def test_an_adapter_learns_and_the_probe_reads_it(pairs: Path, tiny_model: Any, tmp_path: Path):
    pytest.importorskip("peft")
    tokenizer = load_tokenizer(locate(ModelConfig(id=EMBEDDED_NAME)))  # it has Yes and No
    model = tmp_path / "worded"
    built = tiny_model(vocab_size=len(tokenizer), attention="sdpa", max_position_embeddings=4096)
    built.save_pretrained(model)
    tokenizer.save_pretrained(model)
    config = JudgeAdapterConfig(learning_rate=1e-2, epochs=4)
    to = tmp_path / "judge"
    trained = train_judge(asked(pairs, model, to, adapter=config))
    settings = trained.settings
    assert settings.adapted
    assert settings.model.adapter is None  # it is in the judge's folder, which may move
    assert settings.held_out["pairs"].accuracy >= 0.9
    assert 5 < settings.labels < 20  # a quarter: the rest is the adapter's
    moved = tmp_path / "moved"
    to.rename(moved)
    judge = JudgeModel(moved, "cpu")
    assert judge.source.identity == settings.identity
    bare = read_judge_settings(moved).model
    engine = TransformersEngine(bare.model_copy(update={"adapter": str(moved / "adapter")}), EngineConfig())
    constitution = load_constitution("helpful-honest-harmless")
    asking = Questions(constitution, PromptTemplates())
    prompt = Prompt.of((Message(role="user", content="Tell me 4 things about ink."),))
    questions = [
        asking.pointwise(constitution.principles[0], prompt, reply) for reply in ("SAY 4 NOW!!!", "Say 4.")
    ]
    loud, calm = (asyncio.run(engine.choose(question)).logprobs for question in questions)
    assert loud[0] - loud[1] > calm[0] - calm[1]  # on its own, the adapter answers Yes or No
    first, second = judge.log_odds([judge.question(question) for question in questions])
    assert first > second
    few = tmp_path / "few.jsonl"
    few.write_text("".join(pairs.read_text().splitlines(keepends=True)[:8]))
    with pytest.raises(DataError, match=r"--lora: .* left for the probe; accepted: .* at least 20 prompts"):
        train_judge(asked(few, model, tmp_path / "other", adapter=config))


def test_mistakes_are_named(pairs: Path, model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"--layer: .* has no layer 3; accepted: 1 to 2"):
        train_judge(asked(pairs, model, tmp_path / "judge", layers=(3,)))
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(RunStateError, match="not empty and holds no judge"):
        train_judge(asked(pairs, model, full))
    with pytest.raises(ConfigError, match=r"--gold: unknown gold 'votes'; accepted: pairs, replies, checks"):
        gold_sources(["votes"])
    with pytest.raises(ConfigError, match=r"--length: unknown value 'short'; accepted: auto, keep, remove"):
        module.length_taste("short")
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "Hi", "chosen": "A", "rejected": "B"}\n')
    with pytest.raises(DataError, match=r"--data: gold labels of 1 prompt are left"):
        train_judge(asked(few, model, tmp_path / "judge"))
    with pytest.raises(EngineError, match=r"judge\.json: the settings of the judge cannot be read"):
        read_judge_settings(tmp_path)


def test_command_prints_the_figures(pairs: Path, model: Path, tmp_path: Path):
    to = tmp_path / "judge"
    options = [
        "--data",
        str(pairs),
        "--model",
        str(model),
        "--to",
        str(to),
        "--gold",
        "pairs",
        "--layer",
        "1",
    ]
    result = here("train", "judge", *options, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    assert "balanced accuracy" in result.stdout
    assert module.TEMPLATE == "pointwise"
    printed = json.loads(here("train", "judge", *options, "--json").stdout)
    assert printed["layer"] == 1
    assert printed["held_out"]["pairs"]["labels"] > 0
