"""Run every training method and engine once on a GPU, with a small random model that is built here.

    python benchmarks/gpu_smoke.py [--device cuda|cpu] [--only sft dpo ...] [--to DIR] [--json PATH]

Needs no network: a model of Qwen3's architecture and its tokenizer are written to a temporary folder. Each
row takes the default settings and precision. The table has the seconds, the peak memory, and for the engines
the tokens per second beside those of transformers' `generate`. Exit code 1 if a row fails. Without a GPU it
prints why it is skipped and exits with 0; `--device cpu` runs the same rows on the CPU, in the precision that
a GPU takes, with a smaller model and without vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.records import Prompt
    from core.rewards import Sample
    from engines.config import ModelConfig
    from training.job import TrainingJob

NEEDED = ("torch", "transformers", "peft", "trl", "datasets", "pydantic", "psutil")
SHAPES = {
    # About 90M parameters, most of them outside the embeddings: matrices as wide as those of real models.
    "cuda": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 6, "head_dim": 64},
    "cpu": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 32},
}
CHOICES = ("A", "B")
MAX_CHOICE_GAP = 0.1
"""Nats by which log-probabilities in bfloat16 may be off."""
LN_2 = math.log(2)
FIRST_LOSS = {"dpo": (LN_2, 1e-3)}
"""Loss at step 1 that follows from the method, and how far it may be off."""


@dataclass(frozen=True)
class Setting:
    """Where and how large."""

    device: str
    folder: Path
    model: Path
    examples: int
    prompts: int
    new_tokens: int

    @property
    def policy(self) -> ModelConfig:
        """The model in a GPU's precision, on a CPU too."""
        from engines.config import ModelConfig

        return ModelConfig(id=str(self.model), dtype="auto" if self.device == "cuda" else "bfloat16")


def build_model(to: Path, device: str) -> Path:
    """Write a random Qwen3 model and a byte tokenizer with ChatML's template; return the folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config

    from engines.tokenization import CHATML

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    config = Qwen3Config(
        vocab_size=512,
        num_attention_heads=16 if device == "cuda" else 4,
        num_key_value_heads=4 if device == "cuda" else 2,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.05,  # wide enough that the next tokens differ in probability
        **SHAPES[device],
    )
    torch.manual_seed(0)
    folder = to / "model"
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=CHATML, eos_token=special[2], pad_token=special[0]
    ).save_pretrained(folder)
    return folder


class Vowels:
    """Reward: the share of vowels in an answer."""

    name = "vowels"

    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        """Return the share for each answer."""
        return [sum(c in "aeiou" for c in sample.text) / max(1, len(sample.text)) for sample in samples]


def asked(count: int) -> list[Prompt]:
    """Return short prompts."""
    from core.records import Message, Prompt

    return [Prompt.of((Message(role="user", content=f"What is {i} plus {i + 1}?"),)) for i in range(count)]


def train(method: str, setting: Setting) -> dict[str, float]:
    """Train two steps by one method, the rollouts of `NAME-vllm` by vLLM; return metrics."""
    from training.rl.metrics import GAP

    name, _, engine = method.partition("-")
    job = _job(name, setting.folder / method, setting)
    _run(name, job, setting, engine or "transformers")
    rows = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    losses = {key: value for row in rows for key, value in row.items() if "loss" in key or "grad_norm" in key}
    if not losses or not all(map(math.isfinite, losses.values())):
        raise ValueError(f"not finite: {losses}")
    shown = ("loss", "loss/policy_avg", GAP)
    found = {key: float(rows[0][key]) for key in shown if key in rows[0]}
    if method in FIRST_LOSS and abs(found["loss"] - FIRST_LOSS[method][0]) > FIRST_LOSS[method][1]:
        raise ValueError(f"the first loss is {found['loss']:.4f}, not {FIRST_LOSS[method][0]:.4f}")
    return found


def _job(name: str, folder: Path, setting: Setting) -> TrainingJob:
    from training.config import OptimConfig
    from training.job import TrainingJob
    from training.methods import METHODS

    config = type("Rate", (), {"learning_rate": 1e-5})
    method = next(known for known in METHODS if known == name)
    precision = {"bf16": "auto" if setting.device == "cuda" else True}
    optim = OptimConfig.model_validate({"batch_size": setting.examples // 2, **precision})
    return TrainingJob.of(method, folder, setting.policy, config(), optim=optim, device=setting.device)


def _run(name: str, job: TrainingJob, setting: Setting, engine: str) -> None:
    from core.chat import Turn, turns_of
    from training.config import DPOConfig, RewardConfig
    from training.distill.config import DistillConfig
    from training.distill.task import TaughtPrompt
    from training.distill.train import train_distill
    from training.examples import AnsweredPrompt, PreferencePair
    from training.pairs.dpo import train_dpo
    from training.pairs.reward import train_reward
    from training.rl.config import GRPOConfig, PPOConfig, RLOOConfig
    from training.rl.reward_sum import WeightedReward
    from training.rl.task import RLTask
    from training.rl.train import train_grpo, train_ppo, train_rloo
    from training.sft import train_sft

    prompts = asked(setting.examples)
    answers = [f"It is {2 * i + 1}. " * (1 + i % 4) for i in range(len(prompts))]
    if name == "sft":
        train_sft([AnsweredPrompt(p.id, p.messages, a) for p, a in zip(prompts, answers, strict=True)], job)
        return
    if name in ("reward", "dpo"):
        pairs = [
            PreferencePair(p.id, p.messages, a, "I do not know that.", 0.9)
            for p, a in zip(prompts, answers, strict=True)
        ]
        train_reward(pairs, job, RewardConfig()) if name == "reward" else train_dpo(pairs, job, DPOConfig())
        return
    if name == "distill":
        wish = Turn("system", ("Answer in one word.",))
        taught = [TaughtPrompt(p, (wish, *turns_of(p.messages))) for p in prompts]
        size = {"steps": 2, "rollouts": setting.examples, "max_new_tokens": setting.new_tokens}
        train_distill(taught, job, DistillConfig.model_validate(size))
        return
    task = RLTask(prompts, [WeightedReward(Vowels())])
    size = {"steps": 2, "rollouts": setting.examples, "max_new_tokens": setting.new_tokens, "stop_kl": None}
    if name == "ppo":
        train_ppo(task, job, PPOConfig.model_validate(size | {"minibatch": setting.examples}))
        return
    size |= {"num_generations": 4, "rollout_engine": engine}
    if name == "rloo":
        train_rloo(task, job, RLOOConfig.model_validate(size))
    else:
        train_grpo(task, job, GRPOConfig.model_validate(size))


def answer_with(kind: str, setting: Setting) -> dict[str, float]:
    """Answer prompts greedily and score a choice through an engine, and without; return rates and the gap."""
    from engines.config import EngineConfig
    from engines.hf.engine import TransformersEngine
    from engines.vllm.engine import VllmEngine

    size = {"max_batch": setting.prompts, "gpu_memory_utilization": 0.3, "kv_cache_gib": 0.5}
    config = EngineConfig.model_validate({"kind": kind, "device": setting.device, **size})
    engine = (VllmEngine if kind == "vllm" else TransformersEngine)(setting.policy, config)
    try:
        ours, scores = asyncio.run(_measure(engine, setting))
    finally:
        engine.close()
    theirs, true = _plain(setting)
    gap = max(abs(a - b) for a, b in zip(scores, true, strict=True))
    if gap > MAX_CHOICE_GAP:
        raise ValueError(f"log-probabilities of a choice are off by {gap:.3f} nats")
    return {
        "tokens_per_s": ours,
        "generate_tokens_per_s": theirs,
        "ratio": ours / theirs,
        "choice_gap_nats": gap,
    }


async def _measure(engine: Any, setting: Setting) -> tuple[float, tuple[float, ...]]:
    """Return an engine's tokens per second, and its log-probabilities of the choices."""
    from core.chat import turns_of
    from core.records import Sampling
    from engines.protocols import ChoiceRequest, GenerationRequest

    sampling = Sampling(temperature=0.0, max_new_tokens=setting.new_tokens)
    turns = [turns_of(prompt.messages) for prompt in asked(setting.prompts)]
    requests = [GenerationRequest(turn, sampling, 0, "smoke") for turn in turns]
    scores = await engine.choose(ChoiceRequest(turns[0], CHOICES, "smoke"))
    for _ in range(2):  # the first call may compile
        started = time.perf_counter()
        answers = await asyncio.gather(*(engine.generate(request) for request in requests))
        rate = sum(answer.completion_tokens for answer in answers) / (time.perf_counter() - started)
    return rate, scores.logprobs


def _plain(setting: Setting) -> tuple[float, list[float]]:
    """Return the same by transformers alone: `generate` on one padded batch, and one forward pass."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(setting.model, padding_side="left")
    loaded: Any = AutoModelForCausalLM.from_pretrained(setting.model, dtype=torch.bfloat16)
    model = loaded.to(setting.device).eval()
    turns = [[message.model_dump() for message in prompt.messages] for prompt in asked(setting.prompts)]
    options = {"add_generation_prompt": True, "padding": True, "return_tensors": "pt", "return_dict": True}
    single = tokenizer.apply_chat_template(turns[:1], **options).to(setting.device)
    with torch.inference_mode():
        logprobs = model(**single).logits[0, -1].float().log_softmax(-1)
    true = [logprobs[tokenizer.convert_tokens_to_ids(choice)].item() for choice in CHOICES]
    batch = tokenizer.apply_chat_template(turns, **options).to(setting.device)
    for _ in range(2):
        started = time.perf_counter()
        found = model.generate(**batch, max_new_tokens=setting.new_tokens, do_sample=False)
        rows = found[:, batch["input_ids"].shape[1] :].tolist()
        tokens = sum(row.index(2) + 1 if 2 in row else len(row) for row in rows)
        rate = tokens / (time.perf_counter() - started)
    return rate, true


def reset_peak(device: str) -> None:
    """Free what is unused and start to measure the peak memory again."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_gib(device: str) -> float:
    """Return the peak memory in GiB since `reset_peak`: of the card by this process, or resident."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def measured(row: str, setting: Setting) -> dict[str, Any]:
    """Run one row; return its name, seconds, peak memory and metrics, or the error."""
    kind, _, engine = row.partition(" ")
    reset_peak(setting.device)
    started = time.perf_counter()
    try:
        found = answer_with(engine, setting) if kind == "generate" else train(row, setting)
    except Exception as error:  # noqa: BLE001  the other rows are worth running, and this one is reported
        return {"row": row, "ok": False, "error": f"{type(error).__name__}: {error}".splitlines()[0]}
    seconds = time.perf_counter() - started
    return {"row": row, "ok": True, "seconds": seconds, "peak_gib": peak_gib(setting.device), **found}


def rows_of(device: str) -> list[str]:
    """Return the names of the rows; vLLM's only where it is installed for a GPU."""
    from engines.vllm.setup import vllm_device
    from training.methods import METHODS

    with_vllm = device == "cuda" and vllm_device() == "cuda"
    return [
        "generate transformers",
        *(["generate vllm"] if with_vllm else []),
        *METHODS,
        *(["rloo-vllm", "grpo-vllm"] if with_vllm else []),
    ]


def reason_to_skip(device: str) -> str | None:
    """Return why nothing can be run here, or None."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from core.lazy import install_command

        return f"not installed: {', '.join(missing)}; run: {install_command('train')}"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device; run with --device cpu to try the script"
    return None


def shown(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    if not row["ok"]:
        return f"{row['row']:24} failed: {row['error']}"
    rest = {key: value for key, value in row.items() if key not in ("row", "ok", "seconds", "peak_gib")}
    metrics = "  ".join(f"{key} {value:.4g}" for key, value in rest.items())
    return f"{row['row']:24}{row['seconds']:8.1f} s{row['peak_gib']:8.2f} GiB  {metrics}"


def main() -> None:
    """Run the rows, print the table and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", nargs="+", help="names of rows to run")
    parser.add_argument("--to", type=Path, help="folder for the model and the trainings, to keep them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    reason = reason_to_skip(options.device)
    if reason:
        print(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.to or Path(temporary)
        large = options.device == "cuda"
        model = build_model(folder, options.device)
        sizes = {"examples": 64, "prompts": 64, "new_tokens": 64} if large else {}
        setting = Setting(
            options.device, folder, model, **{"examples": 8, "prompts": 8, "new_tokens": 8, **sizes}
        )
        results = []
        for row in options.only or rows_of(options.device):
            results.append(measured(row, setting))
            print(shown(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"setting": _place(options.device), "results": results}, indent=2))
    sys.exit(0 if all(row["ok"] for row in results) else 1)


def _place(device: str) -> dict[str, Any]:
    import torch
    import transformers

    name = torch.cuda.get_device_name(0) if device == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    main()
