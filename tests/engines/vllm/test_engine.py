"""vLLM itself, on a CPU: it answers as the transformers engine does, and leaves no process behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.chat import Turn, Untrusted
from core.errors import ConfigError, EngineError, RequestError
from core.records import Generation, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.tokenization import CHATML
from engines.vllm.engine import VllmEngine
from engines.vllm.processes import living_members, wait_until_gone
from engines.vllm.setup import install_vllm, vllm_device
from publius.sources.prompts import read_prompts
from tests.engines.hf.test_engine import comparison_requests

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}"
    ),
]

REPOSITORY = Path(__file__).parents[3]
DEMO = REPOSITORY / "prompts" / "demo" / "prompts.jsonl"
CONFIG = EngineConfig(kind="vllm", device="cpu", kv_cache_gib=2)
GREEDY = Sampling(temperature=0.0, max_new_tokens=24)
NEAR_TIE = 1e-3
"""Nats between the two likeliest tokens below which rounding may decide."""


@pytest.fixture
def engine(vllm_engine: VllmEngine) -> VllmEngine:
    return vllm_engine


def drafts(count: int, sampling: Sampling) -> list[GenerationRequest]:
    prompts = list(read_prompts(DEMO))[:count]
    turns = [tuple(Turn(m.role, (Untrusted(m.content),)) for m in prompt.messages) for prompt in prompts]
    return [GenerationRequest(turn, sampling, 7 + i, "draft") for i, turn in enumerate(turns)]


def together(coroutines: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    async def gather() -> list[Any]:
        return await asyncio.gather(*coroutines, return_exceptions=True)

    return asyncio.run(gather())


def generate(engine: VllmEngine | TransformersEngine, requests: list[GenerationRequest]) -> list[Generation]:
    return together([engine.generate(request) for request in requests])


def choose(engine: VllmEngine | TransformersEngine, requests: list[ChoiceRequest]) -> list[ChoiceScores]:
    return together([engine.choose(request) for request in requests])


# Against the transformers engine


def test_choice_logprobs_agree_with_transformers(engine: VllmEngine, embedded_engine: TransformersEngine):
    requests = comparison_requests(32)
    # Answers are asked for meanwhile: a batch of both kinds must not mix up what belongs to whom.
    found = together(
        [engine.choose(request) for request in requests]
        + [engine.generate(request) for request in drafts(8, Sampling(max_new_tokens=8))]
    )[:32]
    for here, there in zip(found, choose(embedded_engine, requests), strict=True):
        assert here.logprobs == pytest.approx(there.logprobs, abs=1e-3)
        assert here.answer_mass == pytest.approx(there.answer_mass, abs=1e-3)
        assert (here.top_token, here.prompt_tokens, here.model) == (
            there.top_token,
            there.prompt_tokens,
            there.model,
        )


def test_greedy_answers_are_those_of_transformers_but_for_near_ties(
    engine: VllmEngine, embedded_engine: TransformersEngine, reference_model: Any
):
    requests = drafts(16, GREEDY)
    pairs = list(zip(generate(engine, requests), generate(embedded_engine, requests), strict=True))
    different = [
        (request, here, there)
        for request, (here, there) in zip(requests, pairs, strict=True)
        if here != there
    ]
    for request, here, there in different:
        assert margin_where_they_part(engine, reference_model, request, here, there) < NEAR_TIE
    assert len(different) <= 2
    assert {here.finish_reason for here, _ in pairs} == {"stop", "length"}


def margin_where_they_part(
    engine: VllmEngine, model: Any, request: GenerationRequest, here: Generation, there: Generation
) -> float:
    """Nats between the two likeliest tokens after the words that both answers share."""
    import torch

    ids = list(engine.encoder.encode(request.turns).ids)
    texts = (engine.encoder.plain(answer.text) for answer in (here, there))
    shared = [a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))]
    with torch.inference_mode():
        logits = model(torch.tensor([ids + shared])).logits[0, -1]
    first, second = torch.log_softmax(logits, -1).topk(2).values.tolist()
    return first - second


def test_stop_string_ends_the_answer_and_is_not_part_of_it(
    engine: VllmEngine, embedded_engine: TransformersEngine
):
    requests = drafts(4, GREEDY.model_copy(update={"stop": (" the", ".")}))
    here, there = generate(engine, requests), generate(embedded_engine, requests)
    assert [answer.text for answer in here] == [answer.text for answer in there]
    assert [answer.completion_tokens for answer in here] == [answer.completion_tokens for answer in there]
    assert "stop" in {answer.finish_reason for answer in here}


# On its own


def test_seed_decides_a_sampled_answer(engine: VllmEngine):
    requests = drafts(6, Sampling(temperature=0.9, top_p=0.95, top_k=50, max_new_tokens=16))
    first = generate(engine, requests)
    assert generate(engine, requests[::-1])[::-1] == first
    other = [GenerationRequest(r.turns, r.sampling, r.seed + 100, "draft") for r in requests]
    assert [answer.text for answer in generate(engine, other)] != [answer.text for answer in first]


def test_more_sampled_prompts_than_one_batch_holds_are_all_answered(engine: VllmEngine):
    # In pieces, a seeded prompt would end the whole engine.
    requests = [
        GenerationRequest((Turn("user", (Untrusted("word " * (100 * i + j)),)),), short, j, "draft")
        for i, short in enumerate([Sampling(max_new_tokens=2)] * 12)
        for j in range(3)
    ]
    answers = generate(engine, requests)
    assert {type(answer) for answer in answers} == {Generation}
    assert sum(answer.prompt_tokens for answer in answers) > 2 * 8192


def test_prefill_is_gone_on_from(engine: VllmEngine):
    turns = (Turn("user", ("What is the capital of France?",)),)
    request = GenerationRequest(turns, GREEDY, 0, "draft", prefill="The capital of France is")
    answer = generate(engine, [request])[0]
    assert answer.text.startswith("Paris")


def test_request_that_does_not_fit_is_refused_before_it_is_sent(embedded_files: Any):
    engine = VllmEngine(ModelConfig(id="embedded"), CONFIG.model_copy(update={"max_model_len": 64}))
    refused = generate(engine, drafts(1, GREEDY.model_copy(update={"max_new_tokens": 64})))[0]
    assert isinstance(refused, RequestError)
    assert "the model's context or engine.max_model_len" in str(refused)
    assert "at most 64" in str(refused)
    assert engine._host._link is None


def test_arguments_that_change_answers_change_keys_and_others_do_not(embedded_files: Any):
    request = drafts(1, GREEDY)[0]

    def named(**arguments: Any) -> tuple[str, str]:
        given = CONFIG.model_copy(update={"arguments": arguments})
        engine = VllmEngine(ModelConfig(id="embedded"), given)
        return engine.key(request), engine.identity

    plain = named()
    assert named(tensor_parallel_size=2, max_num_seqs=4, enforce_eager=False) == plain
    for changing in (
        {"quantization": "fp8"},
        {"kv_cache_dtype": "fp8"},
        {"hf_overrides": {"rope_theta": 1.0}},
    ):
        assert not set(named(**changing)) & set(plain)


def test_argument_that_vllm_does_not_know_is_refused_before_anything_is_loaded(embedded_files: Any):
    given = CONFIG.model_copy(update={"arguments": {"tensor_paralel_size": 2}})
    engine = VllmEngine(ModelConfig(id="embedded"), given)
    with pytest.raises(ConfigError, match="accepted: tensor_parallel_size"):
        engine.identity  # noqa: B018  computed when a run is opened
    assert engine._host._link is None


def test_key_is_not_that_of_the_transformers_engine(engine: VllmEngine, embedded_engine: TransformersEngine):
    request = drafts(1, GREEDY)[0]
    assert engine.key(request) != embedded_engine.key(request)
    assert engine.identity != embedded_engine.identity


def test_asker_that_gives_up_does_not_disturb_the_others(engine: VllmEngine):
    long, short = drafts(1, Sampling(max_new_tokens=2000))[0], drafts(2, GREEDY)[1]

    async def one_gives_up() -> Generation:
        waiting = asyncio.create_task(engine.generate(long))
        await asyncio.sleep(1)
        waiting.cancel()
        return await engine.generate(short)

    assert asyncio.run(asyncio.wait_for(one_gives_up(), 60)).finish_reason in ("stop", "length")


# With an adapter


@pytest.mark.long  # loads vLLM again
def test_adapter_acts_as_it_does_in_transformers(embedded_files: Any, tmp_path: Path):
    model = ModelConfig(id="embedded", adapter=str(random_adapter(tmp_path / "lora")))
    plain = TransformersEngine(ModelConfig(id="embedded"), EngineConfig(device="cpu"))
    merged, worn = TransformersEngine(model, EngineConfig(device="cpu")), VllmEngine(model, CONFIG)
    requests = comparison_requests(8)
    try:
        without, there, here = (choose(engine, requests) for engine in (plain, merged, worn))
        answers = generate(worn, drafts(4, GREEDY))
        same = [a.text == b.text for a, b in zip(answers, generate(merged, drafts(4, GREEDY)), strict=True)]
    finally:
        for engine in (plain, merged, worn):
            engine.close()
    for number in range(8):
        assert here[number].logprobs == pytest.approx(there[number].logprobs, abs=1e-3)
    moved = [abs(a.logprobs[0] - b.logprobs[0]) for a, b in zip(here, without, strict=True)]
    assert max(moved) > 0.02
    assert sum(same) >= 3
    assert worn.model == "smollm2-135m-instruct+lora"


def random_adapter(folder: Path, seed: int = 0) -> Path:
    """Save an adapter for the embedded model whose weights are random and not small."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from engines.embedded import embedded_folder

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    model.save_pretrained(folder)
    return folder


# The end


@pytest.mark.long  # loads vLLM twice more
def test_closing_leaves_no_process_and_the_next_request_starts_anew(embedded_files: Any):
    engine = VllmEngine(ModelConfig(id="embedded"), CONFIG)
    request = drafts(1, GREEDY)[0]
    first = generate(engine, [request])
    group, folder = group_of(engine), engine._host._link.log.parent
    assert len(living_members(group)) > 1
    engine.close()
    engine.close()
    assert living_members(group) == []
    assert not folder.exists()
    assert generate(engine, [request]) == first
    again = group_of(engine)
    os.kill(again, signal.SIGKILL)
    error = together([engine.generate(request)])[0]
    assert isinstance(error, EngineError)
    assert "\n" not in str(error)
    assert "the model's process ended (killed by signal 9)" in str(error)
    assert wait_until_gone(again, 10)
    engine.close()


@pytest.mark.long  # loads vLLM again
def test_cache_that_holds_no_request_says_so_in_one_line(embedded_files: Any):
    engine = VllmEngine(ModelConfig(id="embedded"), CONFIG.model_copy(update={"kv_cache_gib": 1e-6}))
    error = together([engine.generate(drafts(1, GREEDY)[0])])[0]
    assert isinstance(error, EngineError)
    assert str(error).startswith("smollm2-135m-instruct: the model cannot be loaded (")
    assert "\n" not in str(error)


@pytest.mark.long  # loads vLLM again
def test_long_context_starts_in_a_small_cache_and_longer_requests_are_refused(
    long_context: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "publius")
    small = CONFIG.model_copy(update={"kv_cache_gib": 0.05, "arguments": {"max_num_seqs": 4}})
    engine = VllmEngine(ModelConfig(id=str(long_context)), small)
    fits, *others = [
        drafts(1, GREEDY.model_copy(update={"max_new_tokens": n}))[0] for n in (24, 2000, 200_000)
    ]
    try:
        answer = generate(engine, [fits])[0]
        refused = generate(engine, others)
        limit = engine._max_tokens
    finally:
        engine.close()
    assert answer.text
    # 30 layers of 3 heads of 64 numbers of 4 bytes, keys and values: 46,080 bytes per token.
    assert 0.05 * 2**30 / 46_080 * 0.8 < limit <= 0.05 * 2**30 / 46_080
    for error in refused:
        assert isinstance(error, RequestError)
        assert f"at most {limit}" in str(error)
        assert "vLLM's KV cache (engine.kv_cache_gib" in str(error)
        assert "\n" not in str(error)
    assert f"limits a prompt and its answer to {limit:,} tokens; the model could take 131,072" in caplog.text


@pytest.fixture
def long_context(embedded_files: Any, tmp_path: Path) -> Path:
    """The embedded model, with a context of 131,072 tokens in its configuration."""
    for path in embedded_files.folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 131_072}))
    return tmp_path


@pytest.mark.long  # loads vLLM again
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core")
def test_two_workers_share_one_model(
    tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    heads = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    tiny_model(attention="sdpa", initializer_range=0.1, **heads).save_pretrained(tmp_path)
    tiny_tokenizer(CHATML).save_pretrained(tmp_path)
    model = ModelConfig(id=str(tmp_path))
    halves = CONFIG.model_copy(update={"kv_cache_gib": 0.1, "arguments": {"tensor_parallel_size": 2}})
    split, whole = VllmEngine(model, halves), TransformersEngine(model, EngineConfig(device="cpu"))
    turns = (Turn("user", ("Which one?",)),)
    requests = [
        ChoiceRequest(turns, ("A", "B"), "label", prefill) for prefill in ("", "Reply ", "The better ")
    ]
    try:
        here, there = choose(split, requests), choose(whole, requests)
    finally:
        split.close()
        whole.close()
    for one, other in zip(here, there, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


LIMITS = """
import json, sys
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from engines.vllm.host import set_batch_limits

gpu = {}
type(current_platform).is_cpu = lambda self: False
type(current_platform).get_device_total_memory = classmethod(lambda cls, *a: gpu["memory"] * 2**30)
type(current_platform).get_device_name = classmethod(lambda cls, *a: gpu["name"])
found = []
for gpu["memory"], gpu["name"], given, least in json.loads(sys.argv[1]):
    arguments = AsyncEngineArgs(model=sys.argv[2], **given)
    usage = set_batch_limits(arguments, least)
    found.append([arguments.max_num_seqs, arguments.get_batch_defaults(1)[0].get(usage), usage.name])
print(json.dumps(found))
"""


@pytest.mark.long  # imports vLLM
def test_batch_limits_are_those_of_the_gpu_and_hold_all_conversations(embedded_files: Any):
    h100, l4 = (80, "NVIDIA H100"), (24, "NVIDIA L4")
    cases = [
        ((*h100, {}, 512), [1024, 16384, "LLM_CLASS"]),
        ((*h100, {}, 2000), [2000, 16384, "LLM_CLASS"]),
        ((*l4, {}, 512), [512, 8192, "LLM_CLASS"]),
        ((*l4, {}, 64), [256, 8192, "LLM_CLASS"]),
        ((*l4, {"max_num_seqs": 16}, 512), [16, 8192, "LLM_CLASS"]),
        ((*l4, {}, None), [None, None, "ENGINE_CONTEXT"]),
    ]
    told = json.dumps([case for case, _ in cases])
    found = subprocess.run(
        [sys.executable, "-c", LIMITS, told, str(embedded_files.folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert json.loads(found.stdout.splitlines()[-1]) == [limits for _, limits in cases]


PARENT = """
import asyncio, sys
from engines.config import EngineConfig, ModelConfig
from core.chat import Turn
from core.records import Sampling
from engines.protocols import GenerationRequest
from engines.vllm.engine import VllmEngine

async def main():
    engine = VllmEngine(ModelConfig(id="embedded"), EngineConfig(kind="vllm", device="cpu", kv_cache_gib=2))
    turns = (Turn("user", ("Tell a long story.",)),)
    ask = lambda n: asyncio.create_task(
        engine.generate(GenerationRequest(turns, Sampling(max_new_tokens=n), 0, "draft")))
    first = ask(1)
    await asyncio.sleep(0)
    print(engine._host._link.group, flush=True)
    await first
    long = [ask(4000) for _ in range(4)]
    await asyncio.sleep(2)
    print("generating", flush=True)
    await asyncio.gather(*long)

asyncio.run(main())
"""


@pytest.mark.long  # loads vLLM again; tests/engines/vllm/test_link.py has the same of a host without vLLM
@pytest.mark.parametrize("moment", ["loading", "generating"])
def test_killed_parent_leaves_no_process(moment: str, embedded_files: Any):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    try:
        group = int(parent.stdout.readline())
        if moment == "loading":
            until(lambda: len(living_members(group)) > 2)  # the engine's process and its worker are there
        else:
            assert parent.stdout.readline() == b"generating\n"
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert wait_until_gone(group, 10)


def group_of(engine: VllmEngine) -> int:
    assert engine._host._link is not None
    return engine._host._link.group


def until(true: Callable[[], bool], limit_s: float = 120) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
