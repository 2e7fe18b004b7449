"""Decisions from a real, tiny reward model: calibrated choices between replies, and what it cannot answer."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.records import Message, Prompt
from core.rewards import Sample
from engines.reward_settings import RewardSettings, write_reward_settings
from engines.tokenization import CHATML
from labelers.rewards import ModelReward
from publius.runs.engines import make_engine
from publius.serving.rewarding import RewardDecider
from publius.serving.served import ServeRequest, open_engines_by_name
from tests.publius.serving.running import Client, served

MEAN, STD, TEMPERATURE = 0.3, 2.0, 0.004
QUESTION = "How are you?"
REPLIES = {"first": "Well, and you?", "second": "Go away.", "It rains.": None}


@pytest.fixture(scope="module")
def folder(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    found = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    sizes = {"vocab_size": 320, "hidden_size": 16, "intermediate_size": 16}
    config = LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(found)
    tiny_tokenizer(CHATML, pad_token=None).save_pretrained(found)
    write_reward_settings(found, RewardSettings(mean=MEAN, std=STD, temperature=TEMPERATURE))
    return found


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with served({}, {"rm": RewardDecider(folder, "cpu")}) as found:
        yield found


def asked(client: Client, state: object, criteria: Any = REPLIES) -> tuple[int, Any]:
    question = {"type": "choice", "instructions": "Which reply is best?", "criteria": criteria}
    return client.post("/v1/systemone", {"state": state, "questions": {"best": question}})


def expected(folder: Path, *messages: Message) -> list[float]:
    """Softmax of the raw scores over the temperature of the calibration."""
    samples = [Sample(Prompt.of(messages), text or name, finished=True) for name, text in REPLIES.items()]
    raw = [STD * (score or 0.0) + MEAN for score in ModelReward(folder, "rm", "cpu").scores(samples)]
    weights = [math.exp(score / TEMPERATURE) for score in raw]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(
    ("state", "messages"),
    [
        (QUESTION, [("user", QUESTION)]),
        (
            [{"role": "system", "content": "Hi."}, {"role": "user", "content": QUESTION}],
            [("system", "Hi."), ("user", QUESTION)],
        ),
        ({"messages": [{"role": "user", "content": QUESTION}]}, [("user", QUESTION)]),
        ('{"not": "messages"}', [("user", '{"not": "messages"}')]),
    ],
)
def test_a_choice_is_the_softmax_of_the_calibrated_rewards(
    client: Client, folder: Path, state: object, messages: list[tuple[Any, str]]
):
    status, found = asked(client, state)
    assert status == 200
    wanted = expected(folder, *(Message(role=role, content=text) for role, text in messages))
    assert list(found["answers"]["best"]["probabilities"].values()) == pytest.approx(wanted, rel=1e-4)
    assert max(wanted) - min(wanted) > 0.01
    assert found["diagnostics"] == {}


CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": QUESTION},
]


@pytest.mark.parametrize("rules", ["system", "developer"])
def test_both_dialects_score_the_same_conversation_equally(client: Client, folder: Path, rules: str):
    _, by_name = asked(client, CONVERSATION)
    question = {"type": "choice", "instructions": "Which reply is best?", "criteria": REPLIES}
    instructed = {"state": CONVERSATION[1:], "instructions": "Be kind.", "questions": {"best": question}}
    _, by_instructions = client.post("/v1/systemone", instructed)
    choices = [{"value": n, **({"description": d} if d else {})} for n, d in REPLIES.items()]
    listed = {
        "input": [{**CONVERSATION[0], "role": rules}, *CONVERSATION[1:]],
        "questions": [{"type": "choice", "instructions": "Which reply is best?", "choices": choices}],
    }
    _, in_a_list = client.post("/v1/decisions", listed)
    wanted = expected(folder, *(Message.model_validate(message) for message in CONVERSATION))
    for found in (
        list(by_name["answers"]["best"]["probabilities"].values()),
        list(by_instructions["answers"]["best"]["probabilities"].values()),
        [entry["probability"] for entry in in_a_list["answers"][0]["probabilities"]],
    ):
        assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("what", "question"),
    [
        ("no zero", {"type": "noul", "instructions": "Is it kind?"}),
        ("no zero", {"type": "score", "instructions": "How kind?", "criteria": ["rude", "kind"]}),
    ],
)
def test_what_has_no_calibration_is_refused_with_the_reason(client: Client, what: str, question: Any):
    status, found = client.post("/v1/systemone", {"state": QUESTION, "questions": {"q": question}})
    assert (status, what in found["error"]["message"]) == (400, True)


@pytest.mark.parametrize("state", ["", "  ", json.dumps([{"role": "assistant", "content": "Hi"}])])
def test_a_state_that_is_no_conversation_is_refused(client: Client, state: str):
    assert asked(client, state)[0] == 400


def test_messages_without_one_of_the_user_are_no_conversation(client: Client):
    choices = [{"value": "one"}, {"value": "two"}]
    question = {"type": "choice", "instructions": "Which?", "choices": choices}
    body = {"input": [{"role": "developer", "content": "Be kind."}], "questions": [question]}
    assert client.post("/v1/decisions", body)[0] == 400


def test_a_reward_model_is_told_from_another_one_of_its_name(folder: Path, tmp_path: Path):
    decider = RewardDecider(folder, "cpu")
    assert decider.identity == RewardDecider(folder, "cpu").identity
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    assert RewardDecider(other, "cpu").identity == decider.identity
    write_reward_settings(other, RewardSettings(mean=MEAN, std=STD, temperature=2 * TEMPERATURE))
    assert RewardDecider(other, "cpu").identity != decider.identity


def test_a_reward_model_alone_answers_no_chat(client: Client):
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    status, found = client.post("/v1/chat/completions", body)
    assert (status, "answers no chat completions" in found["error"]["message"]) == (400, True)


def test_serving_a_reward_model_as_a_model_names_the_option(folder: Path):
    with (
        pytest.raises(ConfigError, match=r"a reward model writes no text; accepted: --reward"),
        open_engines_by_name(ServeRequest(model=str(folder)), make_engine),
    ):
        pass
