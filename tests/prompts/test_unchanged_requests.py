"""Requests about principles with neither few-shots nor passage: byte for byte what they always were."""

from __future__ import annotations

import asyncio

from constitution.schema import Constitution, Principle
from core.chat import Untrusted
from core.digests import digest
from core.records import Comparison, Message, Prompt
from core.rewards import Sample
from critique.config import CritiqueConfig
from critique.loop import CritiqueLoop
from engines.scripted import ScriptedEngine
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.rewards import LabelerReward
from prompts.environment import PromptTemplates

BEFORE = "602e5017e815086760b8ea5d804843c12203c70e0367af7610f64d7cce26f535"
"""What this test found before requests could show few-shots and passages."""

PLAIN = {"id": "kind", "text": "The reply is kind."}
OWN = {
    "id": "short",
    "text": "The reply is short.",
    "critique": "Where is it long?",
    "revision": "Cut it.",
    "comparison": "Which is shorter?",
}
TESTED = {**PLAIN, "id": "tested", "examples": [{"prompt": "Hello?", "good": "Hello!", "bad": "What?"}]}
PROMPTS = (
    (Message(role="user", content="What is this pill?\n====== {{ x }}"),),
    (
        Message(role="system", content="Speak as a pirate."),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Ahoy"),
        Message(role="user", content="Where to?"),
    ),
)


def asked(principle: dict[str, object], preamble: str) -> list[object]:
    """Every piece of every request that the principle leads to, and how the answers must begin."""
    constitution = Constitution(
        name="test", preamble=preamble, principles=(Principle.model_validate(principle),)
    )
    engine, templates = ScriptedEngine(), PromptTemplates()
    loop = CritiqueLoop(constitution, engine, engine, CritiqueConfig(rounds=1), templates=templates)
    labeler = AILabeler(constitution, engine, templates=templates)
    reward = LabelerReward(constitution, templates, LabelConfig(), engine, seed=0, concurrency=1)
    for messages in PROMPTS:
        prompt = Prompt.of(messages)
        asyncio.run(loop.trace(prompt))
        comparison = Comparison.of(prompt, ("A pharmacist can tell.", "one"), ("Take it. =======", "two"))
        asyncio.run(labeler.judge(comparison, constitution.principles[0]))
        reward.scores([Sample(prompt, "Starboard.", True)])
    return [
        [request.prefill, [[turn.role, [spelled(piece) for piece in turn.pieces]] for turn in request.turns]]
        for request in engine.history
    ]


def spelled(piece: object) -> list[str]:
    return ["untrusted", piece.text] if isinstance(piece, Untrusted) else ["ours", str(piece)]


def test_requests_about_plain_principles_are_what_they_always_were():
    everything = [
        asked(p, preamble) for p in (PLAIN, OWN, TESTED) for preamble in ("", "Be of use.\nAlways.")
    ]
    assert digest(everything) == BEFORE
