"""The engine gives every asker the answer that it would have got alone, or one clear error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted
from core.errors import ConfigError, EngineError, FailedRequestError, RequestError
from core.records import Comparison, Generation, Message, Prompt, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf import decoding
from engines.hf.engine import TransformersEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.scripted import ScriptedEngine
from engines.tokenization import CHATML, TurnEncoder
from labelers.ai import AILabeler
from publius.sources.prompts import read_prompts

DEMO = Path(__file__).parents[3] / "prompts" / "demo" / "prompts.jsonl"
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)
SAMPLED = Sampling(max_new_tokens=12)
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"

NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes."

Build = Callable[..., TransformersEngine]


@pytest.fixture
def folder(
    tmp_path: Path, own_cache: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any]
) -> Path:
    """A random model with a byte tokenizer, on disk."""
    path = tmp_path / "tiny"
    tiny_model(vocab_size=259).save_pretrained(path)
    tiny_tokenizer(chat_template=CHATML).save_pretrained(path)
    return path


@pytest.fixture
def build(folder: Path) -> Iterator[Build]:
    """A factory of engines on that folder; keywords go to the engine's section. All are closed at the end."""
    engines: list[TransformersEngine] = []

    def engine(model: ModelConfig | None = None, **options: Any) -> TransformersEngine:
        config = EngineConfig(**{"device": "cpu", "max_batch": 4, **options})
        engines.append(TransformersEngine(model or ModelConfig(id=str(folder)), config))
        return engines[-1]

    yield engine
    for built in engines:
        built.close()


def ask(text: str = "Hi", sampling: Sampling = GREEDY, seed: int = 0, prefill: str = "") -> GenerationRequest:
    return GenerationRequest((Turn("user", (Untrusted(text),)),), sampling, seed, "draft", prefill)


def choice(text: str = "Hi", choices: tuple[str, ...] = ("A", "B"), prefill: str = "Reply ") -> ChoiceRequest:
    return ChoiceRequest((Turn("user", (Untrusted(text),)),), choices, "label", prefill)


async def together(*asked: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*asked, return_exceptions=True)


def generate(engine: TransformersEngine, *requests: GenerationRequest) -> list[Any]:
    """Answers or errors of requests that are asked all at once."""
    return asyncio.run(together(*(engine.generate(request) for request in requests)))


def mixed_requests(count: int) -> list[GenerationRequest]:
    kinds = (GREEDY, SAMPLED, Sampling(top_p=0.9), Sampling(temperature=0.7, top_k=20))
    return [
        ask("word " * (1 + 7 * i % 23), kinds[i % 4].model_copy(update={"max_new_tokens": 1 + 5 * i % 17}), i)
        for i in range(count)
    ]


# Many askers


def test_requests_of_many_sizes_get_the_answers_that_they_get_alone(build: Build):
    engine, single = build(), build(max_batch=1)
    requests = mixed_requests(24)
    answers = generate(engine, *requests)
    assert answers == [generate(single, request)[0] for request in requests]
    assert [answer.sampling for answer in answers] == [request.sampling for request in requests]


def test_batch_whose_tokens_are_bounded_answers_all(build: Build):
    requests = mixed_requests(16)
    assert generate(build(max_batch_tokens=256), *requests) == generate(build(), *requests)


def test_askers_in_several_threads_are_all_answered(build: Build):
    engine = build()
    requests = mixed_requests(12)
    found: dict[int, list[Generation]] = {}

    def work(number: int) -> None:
        found[number] = generate(engine, *requests[number::3])

    generate(engine, ask())  # so that the model is loaded once
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: generate(engine, *requests[number::3]) for number in range(3)}


def test_seed_decides_a_sampled_answer_and_nothing_else_does(build: Build):
    engine = build()
    wanted = ask(sampling=SAMPLED, seed=7)
    alone = generate(engine, wanted)[0]
    for others in (mixed_requests(3), mixed_requests(11)):
        assert generate(engine, *others, wanted)[-1] == alone
    assert generate(engine, ask(sampling=SAMPLED, seed=8))[0].text != alone.text


def test_answer_is_reported_while_it_is_drawn(build: Build):
    engine = build()
    told: dict[str, list[str]] = {"Hi": [], "Ho": []}

    async def both() -> list[Generation]:
        return await asyncio.gather(*(engine.stream(ask(text), told[text].append) for text in told))

    answers = asyncio.run(both())
    assert answers == generate(engine, *map(ask, told))
    for answer, parts in zip(answers, told.values(), strict=True):
        assert len(parts) == (answer.completion_tokens - 1) // 4  # the last token is in the answer alone
        lengths = list(map(len, parts))
        assert lengths == sorted(lengths)


def test_answers_and_scores_are_asked_for_at_once(build: Build):
    engine = build()
    coroutines = [
        engine.generate(ask("a" * i)) if i % 2 else engine.choose(choice("a" * i)) for i in range(12)
    ]
    found = asyncio.run(together(*coroutines))
    assert [type(answer) for answer in found] == [ChoiceScores, Generation] * 6


def test_prompt_that_is_too_long_is_refused_and_disturbs_nobody(build: Build):
    engine = build()
    before, refused, after = generate(engine, ask("one"), ask("long " * 200), ask("two"))
    assert isinstance(refused, RequestError)
    assert "at most 512" in str(refused)
    assert "max_new_tokens" in (refused.problems[0].accepted or "")
    assert [before, after] == generate(engine, ask("one"), ask("two"))


def test_answer_that_may_outgrow_the_batch_is_refused(build: Build):
    engine = build(max_batch_tokens=256)
    fits = GREEDY.model_copy(update={"max_new_tokens": 100})
    refused = generate(engine, ask(sampling=fits.model_copy(update={"max_new_tokens": 250})))[0]
    assert isinstance(refused, RequestError)
    assert isinstance(generate(engine, ask(sampling=fits))[0], Generation)


# What a record says


def test_generation_counts_tokens_and_names_the_model(build: Build):
    engine = build()
    sampled, greedy = generate(engine, ask(sampling=SAMPLED, seed=3), ask(seed=3))
    assert sampled.model == greedy.model == engine.model == "tiny"
    assert (sampled.seed, greedy.seed) == (3, None)
    assert greedy.prompt_tokens == len(engine.encoder.encode(ask().turns).ids)
    assert greedy.completion_tokens == 12
    assert greedy.finish_reason == "length"


# Choices


def test_scores_are_those_of_the_bare_model(build: Build, tiny_model: Callable[..., Any]):
    engine, model = build(), tiny_model(vocab_size=259, attention="sdpa")
    requests = [choice("x" * length) for length in (1, 40, 7, 90, 3)]
    found = asyncio.run(together(*(engine.choose(request) for request in requests)))
    wanted = [engine.encoder.plain(letter)[0] for letter in "AB"]
    for request, scores in zip(requests, found, strict=True):
        ids = engine.encoder.encode(request.turns, request.prefill).ids
        with torch.inference_mode():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
        assert scores.logprobs == pytest.approx(logprobs[wanted].tolist(), abs=1e-4)
        assert scores.answer_mass == pytest.approx(float(logprobs[wanted].exp().sum()), abs=1e-5)
        assert scores.top_token == engine.encoder._tokenizer.decode([int(logprobs.argmax())])
        assert scores.prompt_tokens == len(ids)


def test_the_likeliest_token_is_named_as_it_was_offered(build: Build, monkeypatch: pytest.MonkeyPatch):
    engine = build()
    asked = [choice("x" * length) for length in range(40)]
    found = asyncio.run(together(*map(engine.choose, asked)))
    likeliest = [(a, scores.top_token) for a, scores in zip(asked, found, strict=True)]
    request, letter = next((a, top) for a, top in likeliest if top.isascii() and top.isalnum())
    # As tokenizers of the SentencePiece kind decode a word without the space that it begins with.
    monkeypatch.setattr(type(engine.encoder._tokenizer), "decode", lambda *_, **__: "another text")
    other = "A" if letter != "A" else "B"
    for choices, named in (((other, letter), letter), ((other, "!"), "another text")):
        assert asyncio.run(engine.choose(replace(request, choices=choices))).top_token == named


@pytest.mark.parametrize("choices", [("A", " B"), ("AB", "A"), ("", "A")])
def test_choice_that_is_not_one_token_is_refused(build: Build, choices: tuple[str, ...]):
    with pytest.raises(EngineError, match="is not a single token") as caught:
        asyncio.run(build().choose(choice(choices=choices)))
    assert caught.value.problems[0].where == "prompts/templates"


def test_choices_are_refused_where_the_model_may_think(
    build: Build, folder: Path, tiny_tokenizer: Callable[..., Any]
):
    template = CHATML + "{% if enable_thinking %}<think>{% endif %}"
    tiny_tokenizer(chat_template=template).save_pretrained(folder)
    with pytest.raises(ConfigError, match="may think"):
        asyncio.run(build().choose(choice()))
    told = ModelConfig(id=str(folder), chat_template_kwargs={"enable_thinking": False})
    assert asyncio.run(build(told).choose(choice())).model == "tiny"


# Keys


def test_key_names_what_determines_the_answer_and_needs_no_weights(build: Build, folder: Path):
    (folder / "model.safetensors").unlink()
    engine = build()
    different = [
        ask(),
        ask("Ho"),
        ask(prefill="Well"),
        ask(sampling=SAMPLED),
        ask(sampling=SAMPLED, seed=1),
        ask(sampling=SAMPLED.model_copy(update={"top_p": 0.9})),
        ask(sampling=SAMPLED.model_copy(update={"stop": ("\n",)})),
        choice(),
        choice(choices=("A", "C")),
        choice(prefill="Answer "),
    ]
    assert len({engine.key(request) for request in different}) == len(different)
    assert engine.key(ask(seed=1)) == engine.key(ask(seed=2))


def test_key_does_not_depend_on_the_purpose(build: Build):
    engine = build()
    turns = ask().turns
    keys = {engine.key(GenerationRequest(turns, GREEDY, 0, purpose)) for purpose in ("draft", "critique")}
    assert len(keys) == 1


def test_key_and_identity_change_with_weights_and_their_type(build: Build, folder: Path):
    def names(model: ModelConfig) -> tuple[str, str]:
        engine = build(model)
        return engine.key(ask()), engine.identity

    first = names(ModelConfig(id=str(folder)))
    assert names(ModelConfig(id=str(folder))) == first
    other_type = names(ModelConfig(id=str(folder), dtype="bfloat16"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    other_weights = names(ModelConfig(id=str(folder)))
    assert len({first[0], other_type[0], other_weights[0]}) == 3
    assert len({first[1], other_type[1], other_weights[1]}) == 3


# Failures and the end


def test_model_that_cannot_be_loaded_fails_every_asker_in_one_line(build: Build, folder: Path):
    (folder / "model.safetensors").unlink()
    engine = build()
    failures = generate(engine, *mixed_requests(5)) + generate(engine, ask())
    assert len(failures) == 6
    for failure in failures:
        assert isinstance(failure, EngineError)
        assert str(folder) in str(failure)
        assert "\n" not in str(failure)


def test_failure_while_decoding_fails_the_rows_of_the_batch_and_the_engine_goes_on(
    build: Build, monkeypatch: pytest.MonkeyPatch
):
    steps = count(1)

    def break_down(batch: object) -> Any:
        if next(steps) == 2:
            raise IndexError("no such row\nwith a long story")
        return step(batch)

    engine, step = build(max_batch=3), decoding.DecodingBatch.step
    expected = generate(engine, *mixed_requests(9))
    monkeypatch.setattr(decoding.DecodingBatch, "step", break_down)
    answers = generate(engine, *mixed_requests(9))
    failures = [answer for answer in answers if isinstance(answer, FailedRequestError)]
    assert {str(failure) for failure in failures} == {
        "the engine failed on the request (IndexError) (IndexError: no such row)"
    }
    assert 1 <= len(failures) <= 3
    assert all(a == e for a, e in zip(answers, expected, strict=True) if a not in failures)


def test_rows_that_end_in_the_step_that_fails_are_answered(build: Build, monkeypatch: pytest.MonkeyPatch):
    engine, forward = build(max_batch=3), decoding.DecodingBatch._forward
    lengths = [GREEDY.model_copy(update={"max_new_tokens": length}) for length in (2, 9, 9)]
    requests = [ask(f"Question {i}", sampling=sampling) for i, sampling in enumerate(lengths)]
    expected = generate(engine, *requests)

    def break_down(batch: Any, ids: torch.Tensor, *given: Any) -> Any:
        if ids.shape == (2, 1):  # the first row has ended and is gone
            raise IndexError("no such row")
        return forward(batch, ids, *given)

    monkeypatch.setattr(decoding.DecodingBatch, "_forward", break_down)
    answers = generate(engine, *requests)
    assert answers[0] == expected[0]
    assert [type(answer) for answer in answers[1:]] == [FailedRequestError] * 2


def test_one_bad_prompt_leaves_those_alone_that_cannot_join_a_batch(
    build: Build, monkeypatch: pytest.MonkeyPatch
):
    engine, admit = build(max_batch=8), decoding.DecodingBatch.admit
    requests = [ask(f"Question {i}") for i in range(5)]
    expected = generate(engine, *requests)

    def take_in(batch: Any, rows: Any) -> None:
        if batch.rows:
            raise AttributeError("'DynamicSlidingWindowLayer' object has no attribute 'join'")
        if any(row.ticket.request is requests[1] for row in rows):
            raise IndexError("no such token")
        admit(batch, rows)

    monkeypatch.setattr(decoding.DecodingBatch, "can_join", property(lambda batch: not batch.rows))
    monkeypatch.setattr(decoding.DecodingBatch, "admit", take_in)
    answers = generate(engine, *requests)
    assert isinstance(answers[1], FailedRequestError)
    assert [answers[i] for i in (0, 2, 3, 4)] == [expected[i] for i in (0, 2, 3, 4)]


def test_logits_that_are_nan_fail_their_own_row_only(build: Build, monkeypatch: pytest.MonkeyPatch):
    engine, step = build(), decoding.DecodingBatch.step
    requests = [ask(f"Question {i}") for i in range(4)]
    expected = generate(engine, *requests)

    def spoil(batch: Any) -> Any:
        # Only the third question's row; -inf masks a token in models that do so, and is no fault.
        batch._logits = batch._logits.clone()
        for place, row in enumerate(batch.rows):
            if row.ticket.request is requests[2]:
                batch._logits[place, 7] = float("nan")
        batch._logits[:, 0] = -float("inf")
        return step(batch)

    monkeypatch.setattr(decoding.DecodingBatch, "step", spoil)
    answers = generate(engine, *requests)
    assert isinstance(answers[2], FailedRequestError)
    assert answers[2].reason == "the model's logits are not finite"
    assert [answers[i] for i in (0, 1, 3)] == [expected[i] for i in (0, 1, 3)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_choices_without_finite_logprobs_fail_alone(
    build: Build, monkeypatch: pytest.MonkeyPatch, bad: float
):
    scored = decoding.next_token_logprobs

    def spoil(model: Any, prompts: Sequence[tuple[int, ...]], **how: bool) -> torch.Tensor:
        logprobs = scored(model, prompts, **how).clone()
        logprobs[-1, :] = bad  # the longest prompt is last
        return logprobs

    monkeypatch.setattr(decoding, "next_token_logprobs", spoil)
    requests = [ChoiceRequest((Turn("user", ("x" * n,)),), ("A", "B"), "label") for n in (3, 9, 30)]
    engine = build()

    async def ask_all() -> list[ChoiceScores | BaseException]:
        return await asyncio.gather(*map(engine.choose, requests), return_exceptions=True)

    scores = asyncio.run(ask_all())
    assert [type(found) for found in scores] == [ChoiceScores, ChoiceScores, FailedRequestError]


def test_choice_on_which_the_model_fails_is_found_among_the_others(
    build: Build, monkeypatch: pytest.MonkeyPatch
):
    scored = decoding.next_token_logprobs

    def fail(model: Any, prompts: Sequence[tuple[int, ...]], **how: bool) -> torch.Tensor:
        if any(len(prompt) == longest for prompt in prompts):
            raise IndexError("index out of range")
        return scored(model, prompts, **how)

    engine = build()
    requests = [ChoiceRequest((Turn("user", ("x" * n,)),), ("A", "B"), "label") for n in (3, 9, 30)]
    longest = max(len(engine._ids(request)) for request in requests)
    monkeypatch.setattr(decoding, "next_token_logprobs", fail)

    async def ask_all() -> list[ChoiceScores | BaseException]:
        return await asyncio.gather(*map(engine.choose, requests), return_exceptions=True)

    scores = asyncio.run(ask_all())
    assert [type(found) for found in scores] == [ChoiceScores, ChoiceScores, FailedRequestError]


def test_step_that_does_not_end_is_left_behind(build: Build, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.hf.engine._CLOSE_S", 0.2)
    engine, step, gate = build(), decoding.DecodingBatch.step, threading.Event()
    expected = generate(engine, ask())
    monkeypatch.setattr(decoding.DecodingBatch, "step", lambda batch: gate.wait() and step(batch))

    async def give_up() -> None:
        async with asyncio.timeout(0.3):
            await engine.generate(ask("Hangs"))

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    engine.close()
    monkeypatch.setattr(decoding.DecodingBatch, "step", step)
    assert generate(engine, ask()) == expected  # on a new thread
    gate.set()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(NO_MEMORY)])
def test_no_memory_while_decoding_names_the_settings_to_change(
    build: Build, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
):
    steps = count(1)

    def run_out(batch: object) -> Any:
        if next(steps) == 2:
            raise error
        return step(batch)

    step: Any = decoding.DecodingBatch.step
    monkeypatch.setattr(decoding.DecodingBatch, "step", run_out)
    answers = generate(build(max_batch_tokens=512), *mixed_requests(9))
    failures = [answer for answer in answers if isinstance(answer, EngineError)]
    assert len(failures) > 5  # the first step may have ended an answer
    size = " (tried to allocate 2.00 GiB)" if type(error) is RuntimeError else ""
    assert {str(failure) for failure in failures} == {
        f"tiny: out of memory in inference{size}; accepted: a smaller engine.max_batch (now 4) or "
        "engine.max_batch_tokens (now 512)"
    }


def test_no_memory_for_the_weights_names_a_smaller_model(
    build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 is full.")

    monkeypatch.setattr(PreTrainedModel, "_load_pretrained_model", run_out)
    (failure,) = generate(build(), *mixed_requests(1))
    assert str(failure) == (
        f"{folder}: out of memory in loading the model (tried to allocate 20.00 MiB); accepted: a smaller "
        "model, narrower weights (dtype: bfloat16), or a device with more free memory"
    )


def test_failure_while_prompts_are_taken_in_reaches_every_asker(
    build: Build, monkeypatch: pytest.MonkeyPatch
):
    def overflow(batch: Any, rows: Any) -> None:
        raise MemoryError("no room for the prompts")

    engine = build(max_batch=4)
    monkeypatch.setattr("engines.hf.decoding.DecodingBatch.admit", overflow)
    results = generate(engine, *(ask(f"Question {i}") for i in range(9)))
    assert [str(result) for result in results] == ["tiny: MemoryError: no room for the prompts"] * 9


def test_engine_is_closed_twice_without_harm(build: Build):
    engine = build()
    engine.close()
    generate(engine, ask())
    engine.close()
    engine.close()


def test_closed_engine_starts_again_when_asked(build: Build):
    engine = build()
    first = generate(engine, ask())
    engine.close()
    assert generate(engine, ask()) == first


def test_closing_leaves_no_asker_waiting(build: Build):
    engine = build()
    long = ask(sampling=GREEDY.model_copy(update={"max_new_tokens": 400}))

    async def close_midway() -> list[Any]:
        await engine.generate(ask())
        waiting = [asyncio.create_task(engine.generate(long)) for _ in range(6)]
        await asyncio.sleep(0.05)
        engine.close()
        return await asyncio.wait_for(together(*waiting), 20)  # type: ignore[arg-type]

    answers = asyncio.run(close_midway())
    assert {type(answer) for answer in answers} <= {EngineError, Generation}
    assert all("closed" in str(answer) for answer in answers if isinstance(answer, EngineError))


def test_asker_that_gives_up_does_not_disturb_the_others(build: Build):
    engine = build()

    async def one_gives_up() -> Generation:
        first, second = (asyncio.create_task(engine.generate(ask(text))) for text in ("one", "two"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(one_gives_up()) == generate(engine, ask("two"))[0]


# A model that writes what it is told: each token has one successor


@pytest.fixture
def writer(folder: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any]) -> Any:
    """Saves over the folder a model that goes on with the given tokens after a line end."""

    def save(written: Sequence[int | str], end: int = 2, **tokenizer: Any) -> None:
        words = tiny_tokenizer(**tokenizer)
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        words.save_pretrained(folder)
        ids = [
            token
            for part in ("\n", *written)
            for token in ([part] if isinstance(part, int) else words.encode(part))
        ]
        assert len(set(ids)) == len(ids)
        model = tiny_model(vocab_size=259, hidden_size=128, eos_token_id=end)
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            model.lm_head.weight.zero_()
            embedded = torch.nn.functional.normalize(model.model.embed_tokens.weight, dim=-1)
            for token, successor in pairwise(ids):
                model.lm_head.weight[successor] = embedded[token]
        model.save_pretrained(folder)

    return save


def test_answer_ends_at_the_end_of_the_turn_without_its_token(build: Build, writer: Any):
    writer(["Four", 2], chat_template=CHATML)
    answer = generate(build(), ask())[0]
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("Four", "stop", 5)


def test_stop_string_is_not_part_of_the_answer(build: Build, writer: Any):
    writer(["Four is#%&"], chat_template=CHATML)
    answer = generate(build(), ask(sampling=GREEDY.model_copy(update={"stop": ("&", "#%")})))[0]
    assert (answer.text, answer.finish_reason) == ("Four is", "stop")


def test_prefill_is_gone_on_from_and_not_repeated(build: Build, writer: Any):
    writer(["Four", 2], chat_template=CHATML)
    assert generate(build(), ask(prefill="Fo"))[0].text == "ur"


def test_thinking_that_the_template_opened_is_told_apart(build: Build, writer: Any):
    writer(["Two and"], chat_template=CHATML + "<think>\n")
    answer = generate(build(), ask(sampling=GREEDY.model_copy(update={"max_new_tokens": 7})))[0]
    assert (answer.text, answer.reasoning) == ("", "Two and")


def test_prefill_closes_a_block_that_the_template_opened(build: Build, writer: Any):
    writer(["Four", 2], chat_template=CHATML + "<think>\n")
    answer = generate(build(), ask(prefill="Fo"))[0]
    assert (answer.text, answer.reasoning) == ("ur", None)


def test_base_model_is_spoken_to_in_chatml_and_stops_at_its_end_of_turn(build: Build, writer: Any):
    # To this tokenizer the end of a turn is an ordinary token, and no end of text.
    writer(
        ["Four", 2, "!"],
        end=0,
        special=("<|endoftext|>",),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    engine = build()
    assert engine.is_base
    answer = generate(engine, ask())[0]
    assert (answer.text, answer.finish_reason) == ("Four", "stop")
    assert answer.sampling == GREEDY


def test_model_with_a_template_is_no_base_model(build: Build, writer: Any):
    writer(["Four", 2], chat_template=PLAIN)
    engine = build()
    assert not engine.is_base
    assert generate(engine, ask("2+2?\n"))[0].text == "Four"


# The embedded model


def comparison_requests(count: int) -> list[ChoiceRequest]:
    """Questions to the labeler of different lengths, over the demo prompts."""
    principle = Principle(id="honest", text="The reply says what it does not know.")
    constitution = Constitution(name="c", principles=(principle,))
    labeler = AILabeler(constitution, ScriptedEngine())
    prompts = list(read_prompts(DEMO))[:count]
    texts = [prompt.messages[-1].content for prompt in prompts]
    comparisons = [
        Comparison.of(
            Prompt.of((*prompt.messages[:-1], Message(role="user", content=text))),
            (f"I do not know. {text}", "x"),
            (" ".join(texts[: i % 5]) + " Surely!", "y"),
        )
        for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
    ]
    return [labeler.request(found, principle, a_first=i % 2 == 0) for i, found in enumerate(comparisons)]


@pytest.mark.slow
def test_scores_of_a_batch_equal_direct_ones_within_a_ten_thousandth_of_a_nat(
    embedded_engine: TransformersEngine,
    embedded_encoder: TurnEncoder,
    reference_model: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    sizes: list[int] = []
    scored = decoding.next_token_logprobs

    def counting(model: Any, prompts: Sequence[tuple[int, ...]], **how: bool) -> torch.Tensor:
        sizes.append(len(prompts))
        return scored(model, prompts, **how)

    monkeypatch.setattr(decoding, "next_token_logprobs", counting)
    requests = comparison_requests(16)
    found = asyncio.run(together(*(embedded_engine.choose(request) for request in requests)))
    assert sum(sizes) == 16
    assert len(sizes) < 16
    letters = [embedded_encoder.plain(choice)[0] for choice in (" A", " B")]
    lengths = set()
    for request, scores in zip(requests, found, strict=True):
        ids = embedded_encoder.encode(request.turns, request.prefill).ids
        lengths.add(len(ids))
        with torch.inference_mode():
            logits = reference_model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
        direct = torch.log_softmax(logits.double(), -1)[letters]
        assert scores.logprobs == pytest.approx(direct.tolist(), abs=1e-4)
        assert scores.answer_mass == pytest.approx(float(direct.exp().sum()), abs=1e-4)
    assert len(lengths) > 8


@pytest.mark.slow
def test_embedded_model_answers_a_question(embedded_engine: TransformersEngine):
    answer = generate(embedded_engine, ask("What is the capital of France?", GREEDY))[0]
    assert "Paris" in answer.text
    assert not embedded_engine.is_base
