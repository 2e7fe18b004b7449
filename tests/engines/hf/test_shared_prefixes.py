"""The engine computes once what requests share: questions about one comparison, turns of a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted
from core.records import Comparison, Judgment, Message, Prompt, Sampling
from core.store.cache import RequestCache
from critique.config import CritiqueConfig
from critique.loop import CritiqueLoop
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.tokenization import CHATML
from labelers.ai import AILabeler
from labelers.config import LabelConfig

Build = Callable[..., TransformersEngine]
SIXTEEN = Constitution(
    version="1",
    name="sixteen",
    principles=tuple(Principle(id=f"p{n}", text=f"The reply has at most {n} faults.") for n in range(16)),
)
PROMPT = Prompt.of((Message(role="user", content="How do I keep bread fresh for a whole week? " * 4),))
COMPARISONS = [
    Comparison.of(
        Prompt.of((Message(role="user", content=f"{PROMPT.messages[0].content}{n}"),)),
        ("Keep it in a box, away from the window. " * 3, "x"),
        ("Freeze it in slices, and toast them one by one. " * 3, "y"),
    )
    for n in range(3)
]


@pytest.fixture
def build(
    tmp_path: Path, own_cache: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any]
) -> Iterator[Build]:
    """A factory of engines on a random model with a byte tokenizer; keywords go to the engine's section."""
    folder = tmp_path / "tiny"
    tiny_model(vocab_size=261, max_position_embeddings=8192).save_pretrained(folder)
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    tokenizer.add_tokens([" A", " B"])  # the labeler reads the probability of single tokens
    tokenizer.save_pretrained(folder)
    engines: list[TransformersEngine] = []

    def engine(**options: Any) -> TransformersEngine:
        config = EngineConfig(**{"device": "cpu", **options})
        engines.append(TransformersEngine(ModelConfig(id=str(folder)), config))
        return engines[-1]

    yield engine
    for built in engines:
        built.close()


def judged(engine: TransformersEngine, folder: Path, *comparisons: Comparison) -> list[tuple[Judgment, ...]]:
    """Judgments under all principles, asked as a run asks."""
    config = LabelConfig(principles=len(SIXTEEN.principles))

    async def ask() -> list[tuple[Judgment, ...]]:
        labeler = AILabeler(SIXTEEN, CachedEngine(engine, cache), config)
        return await asyncio.gather(*map(labeler.label, comparisons))

    with RequestCache(folder / "cache.sqlite") as cache:
        return asyncio.run(ask())


def shared_and_own(engine: TransformersEngine, comparison: Comparison) -> tuple[int, int]:
    """Return the tokens of both orders' prefixes, and those of all that follows them."""
    labeler = AILabeler(SIXTEEN, engine)
    shared = own = 0
    for a_first in (True, False):
        rows = [
            engine._ids(labeler.request(comparison, principle, a_first=a_first))
            for principle in SIXTEEN.principles
        ]
        prefix = min(
            next(i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y)
            for one in rows
            for other in rows
            if one != other
        )
        shared += prefix
        own += sum(len(one) - prefix for one in rows)
    return shared, own


def test_all_principles_in_both_orders_compute_each_order_once(build: Build, tmp_path: Path):
    engine = build()
    (found,) = judged(engine, tmp_path, COMPARISONS[0])
    assert len(found) == 16
    shared, own = shared_and_own(engine, COMPARISONS[0])
    assert shared > 2 * 400  # so that the count below means something
    assert engine.computed_tokens <= shared + own


def test_comparisons_that_are_judged_at_once_share_nothing_less(build: Build, tmp_path: Path):
    engine = build()
    judged(engine, tmp_path, *COMPARISONS)
    parts = [shared_and_own(engine, comparison) for comparison in COMPARISONS]
    # The bound on tokens divides the questions into passes, each of which computes its prefixes again.
    assert engine.computed_tokens <= 1.2 * sum(map(sum, parts))
    assert engine.progress is not None
    assert engine.progress >= len(COMPARISONS)  # on a CPU each is enough for a pass


@pytest.mark.parametrize("budget", [2048, 4096, 16384])
def test_judgments_are_those_of_questions_asked_one_by_one(build: Build, tmp_path: Path, budget: int):
    together = judged(build(max_batch_tokens=budget), tmp_path, *COMPARISONS[:2])
    engine = build()
    labeler = AILabeler(SIXTEEN, engine, LabelConfig(principles=16))
    for comparison, judgments in zip(COMPARISONS, together, strict=False):
        for judgment in judgments[::5]:
            (principle,) = (p for p in SIXTEEN.principles if p.id == judgment.principle_id)
            alone = asyncio.run(labeler.judge(comparison, principle))
            assert judgment.p_a == pytest.approx(alone.p_a, abs=1e-5)
            assert judgment.id == alone.id


def test_no_pass_exceeds_the_bound_on_tokens(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from engines.hf import decoding

    sizes: list[int] = []
    scored, engine = decoding.next_token_logprobs, build(max_batch_tokens=2048)

    def counting(model: Any, prompts: Any, **how: bool) -> Any:
        before = engine.computed_tokens
        found = scored(model, prompts, **how)
        sizes.append(engine.computed_tokens - before)
        return found

    monkeypatch.setattr(decoding, "next_token_logprobs", counting)
    judged(engine, tmp_path, *COMPARISONS)
    assert max(sizes) <= 2048
    assert len(sizes) > 3


def test_choices_and_answers_of_all_kinds_are_answered_together(build: Build):
    engine = build(max_batch=4, max_batch_tokens=512)
    turns = [(Turn("user", (Untrusted("x" * n),)),) for n in (3, 200, 3, 40, 200, 7)]
    choices = [ChoiceRequest(one, ("A", "B"), "label") for one in turns]
    sampling = Sampling(temperature=0.0, max_new_tokens=5)
    answers = [GenerationRequest(one, sampling, 0, "draft") for one in turns]

    async def ask() -> list[Any]:
        return await asyncio.gather(*map(engine.choose, choices), *map(engine.generate, answers))

    found = asyncio.run(ask())
    assert found[0] == found[2]
    assert found[1] == found[4]
    assert found[6] == found[8]


@pytest.mark.slow
@pytest.mark.long
def test_critique_loop_of_the_embedded_model_computes_each_turn_once(embedded_files: object):
    config = CritiqueConfig(
        rounds=1,
        **{k: {"temperature": 0.0, "max_new_tokens": 16} for k in ("draft", "critique", "revision")},
    )
    prompts = [comparison.prompt for comparison in COMPARISONS[:2]]
    written, computed, given = {}, {}, 0
    for gib in (1.0, 0.0):
        engine = TransformersEngine(
            ModelConfig(id="embedded"), EngineConfig(device="cpu", prefix_cache_gib=gib)
        )
        loop = CritiqueLoop(SIXTEEN, engine, engine, config)

        async def traces(loop: CritiqueLoop = loop) -> list[Any]:
            return await asyncio.gather(*map(loop.trace, prompts))

        found = asyncio.run(traces())
        engine.close()
        answers = [
            answer
            for trace in found
            for answer in (trace.initial, trace.revisions[0].critique, *trace.revisions[0].candidates)
        ]
        written[gib], computed[gib] = [answer.text for answer in answers], engine.computed_tokens
        given = sum(answer.prompt_tokens + answer.completion_tokens - 1 for answer in answers)
        last = sum(answer.prompt_tokens + answer.completion_tokens - 1 for answer in answers[2::3])
    assert written[1.0] == written[0.0]
    assert computed[0.0] <= given
    # All that a conversation ever held is in the prompt of its revision. A tokenizer may divide an answer
    # otherwise when it is read back, so that a few tokens are computed again.
    assert computed[1.0] <= 1.1 * last < 0.7 * given


def test_engine_that_remembers_reads_only_the_edited_principle(build: Build):
    edited = Principle(id="p1", text="The reply has at most nine faults, and says so.")
    found, read = [], []
    for remembers in (False, True):
        engine = build()
        if remembers:
            engine.remember_prompts()
        labeler = AILabeler(SIXTEEN, engine)

        async def ask(principle: Principle, labeler: AILabeler = labeler) -> list[Judgment]:
            return await asyncio.gather(*(labeler.judge(one, principle) for one in COMPARISONS))

        found.append([*asyncio.run(ask(SIXTEEN.principles[1]))])
        first = engine.computed_tokens
        found[-1] += asyncio.run(ask(edited))
        read.append((first, engine.computed_tokens - first))
    plain, remembered = ([judgment.p_a for judgment in judgments] for judgments in found)
    assert remembered == pytest.approx(plain, abs=1e-5)
    assert read[1][0] == read[0][0]
    assert 3 * read[1][1] < read[0][1]
