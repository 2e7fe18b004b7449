"""`publius train judge --by principle`: a probe of each principle with enough gold, on a tiny model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from constitution.loader import load_constitution
from core.errors import ConfigError, DataError
from core.records import Prompt
from engines.judge.engine import ProbeEngine
from engines.judge.settings import read_judge_settings
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.models.judges.principles import judge_by
from publius.models.train_judge import JudgeTraining, train_judge
from publius.sources.examples import DataSource
from tests.publius.invoking import here
from tests.publius.judges import model_of_bytes

TOPICS = ("bread", "rain", "bikes", "maps", "tea", "snow", "clocks", "the sea")
RULES = """name: c
principles:
  - {id: calm, text: The reply does not contain an exclamation mark., check: {kind: not_regex, value: "!"}}
  - {id: short, text: The reply has at most 30 words., check: {kind: max_words, value: 30}}
  - {id: loud, text: The reply is loud.}
  - {id: rare, text: The reply is rare.}
"""


def lines(path: Path, rows: list[dict[str, Any]]) -> DataSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSource(str(path))


@pytest.fixture(scope="module")
def request_of_three(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Any, tiny_tokenizer: Any
) -> JudgeTraining:
    """Replies to check, and labels of which most name the principle that they are about."""
    folder = tmp_path_factory.mktemp("gold")
    (folder / "c.yaml").write_text(RULES, encoding="utf-8")
    replies, labelled = [], []
    for n in range(18):
        topic = TOPICS[n % len(TOPICS)]
        prompt = f"Tell me {n} things about {topic}."
        replies.append(
            {
                "prompt": prompt,
                "completion": f"It is {n} times {topic}. Some of us like {topic}, and others do not.",
            }
        )
        for loud in (True, False):
            text = f"It is {n} times {topic}"
            row = {"prompt": prompt, "completion": text.upper() if loud else text, "label": loud}
            labelled.append({**row, "principle": "loud"})
    labelled.append({"prompt": "Hm?", "completion": "No.", "label": True, "principle": "gone"})
    labelled.append({"prompt": "Hm?", "completion": "No.", "label": True, "principle": "rare"})
    return JudgeTraining(
        None,
        str(folder / "c.yaml"),
        str(model_of_bytes(folder / "bytes", tiny_model, tiny_tokenizer)),
        folder / "judge",
        sources=("replies", "checks"),
        labelled=lines(folder / "labelled.jsonl", labelled),
        replies=lines(folder / "replies.jsonl", replies),
        by="principle",
        layers=(1,),
        per_kind=16,
        device="cpu",
    )


@pytest.fixture(scope="module")
def trained(request_of_three: JudgeTraining) -> Any:
    return train_judge(request_of_three)


def test_principles_with_enough_gold_have_a_probe(trained: Any):
    settings = read_judge_settings(trained.folder)
    assert settings == trained.settings
    by_id = {one.id: one for one in settings.principles}
    assert by_id.keys() == {"calm", "short", "loud"}
    for name, source in (("calm", "checks"), ("short", "checks"), ("loud", "replies")):
        one = by_id[name]
        assert one.gold == {source: one.fulfilled + one.broken}
        assert min(one.fulfilled, one.broken) >= 16
        assert one.figures.low < one.accuracy <= one.figures.accuracy
        assert one.abstains == (one.accuracy < 0.6)
    assert by_id["loud"].figures.accuracy >= 0.9
    assert by_id["loud"].blind_to_length
    assert not by_id["short"].blind_to_length  # its check is about length
    assert [(one.id, one.fulfilled, one.broken) for one in settings.without_probe] == [("rare", 1, 0)]
    assert settings.shared  # it learned from the labelled replies
    assert trained.excluded["the principle that the label is about is not in the constitution"] == 1


def test_the_judge_answers_by_the_probe_of_the_principle(trained: Any, request_of_three: JudgeTraining):
    engine = ProbeEngine(trained.folder, "cpu")
    rules = load_constitution(request_of_three.constitution)
    asking, prompt = Questions(rules, PromptTemplates()), Prompt.of("Tell me 3 things about ink.")
    loud = rules.principle("loud")

    async def odds(reply: str) -> float:
        yes, no = (await engine.choose(asking.pointwise(loud, prompt, reply))).logprobs
        return yes - no

    assert asyncio.run(odds("IT IS THREE TIMES INK")) > 0 > asyncio.run(odds("It is three times ink"))
    assert engine.judge.question(asking.pointwise(rules.principle("rare"), prompt, "Ink.")).probe is None


def test_without_labels_of_people_there_is_no_shared_probe(
    request_of_three: JudgeTraining, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    from dataclasses import replace

    request = replace(request_of_three, to=tmp_path / "judge", sources=("checks",), labelled=None)
    trained = train_judge(request)
    assert not trained.settings.shared
    assert trained.choice is None
    assert "loud (0 fulfil it, 0 break it), rare (0 fulfil it, 0 break it); the judge abstains" in caplog.text
    with pytest.raises(DataError, match=r"no principle has enough gold labels .*accepted: 16 of each side"):
        train_judge(replace(request, to=tmp_path / "few", per_kind=1))
    with pytest.raises(ConfigError, match=r"--data: there is nothing to make gold labels of; accepted: --d"):
        train_judge(replace(request, to=tmp_path / "none", replies=None))
    with pytest.raises(ConfigError, match=r"--by: unknown value 'rule'; accepted: all, principle"):
        judge_by("rule")


def test_command_prints_the_probes(request_of_three: JudgeTraining, tmp_path: Path):
    assert request_of_three.replies is not None
    options = [
        *("--constitution", request_of_three.constitution, "--model", request_of_three.model),
        *("--replies", request_of_three.replies.name, "--to", str(tmp_path / "judge"), "--by", "principle"),
        *("--layer", "1", "--per-kind", "10", "--device", "cpu"),
    ]
    result = here("train", "judge", *options)
    assert result.returncode == 0, result.stderr
    assert "Probes of single principles, cross-validated" in result.stdout
    assert "too few of a side: abstains" in result.stdout
