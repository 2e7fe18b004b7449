"""PPO against TRL 1.12's PPOTrainer: seconds, memory, and what is learned.

    python -m venv trl112
    trl112/bin/pip install torch==2.13.0
    trl112/bin/pip install torch==2.13.0 trl==1.12.0 'transformers==5.18.*' peft accelerate datasets
    python benchmarks/ppo.py --peer-python trl112/bin/python --json out.json

TRL took its PPO out in 1.13, and that of 1.12 cannot save under transformers 5.19: hence an environment of
its own, where `benchmarks/ppo_trl.py` runs. Pin torch, or pip may fetch gigabytes of CUDA libraries.

Alike in both: the embedded model in float32, its prompts' tokens, each prompt once an update, LoRA of one
shape on the policy and on a separate critic whose values begin at 0, the adapter switched off as reference,
the reward (share of vowels, called on the decoded answer), temperature, most new tokens, end of an answer,
clipping, KL price, gamma and lambda, AdamW with one learning rate, constant, and one optimizer step an epoch
over all answers (TRL 1.12 takes one, whatever its `num_mini_batches`). Off in ours, because TRL has none:
clipping of the gradient. Off in TRL: checkpointing of activations, bf16, saving, sample tables.

An update is timed in two parts: `rollout` is drawing the answers, `update` all from there to the log but the
reward: log-probabilities of policy and reference, values, advantages, optimizer steps. The peers take turns
as processes of their own; the first update of each process is not counted. Memory is the peak of a process.
Beside the clock, the time that the processors spent is given: on a machine that others use as well,
`--threads 1` and that time still tell.

TRL trains on four rows together, with which it was faster than with 8 or 16; ours on its default of 2048
tokens, which takes about as much memory. Fewer (`--micro-tokens`) take less of it, and a little longer.

What limits it: TRL keeps two copies of the model, because its policy and its value model are two; it draws
with `generate` of transformers, in one batch; the tokens drawn differ, so that rates count each peer's own.
Prompts of like length cost TRL less padding than others would. The shared critic has no like in TRL: it is
less work.

The learning curves are of random models of two layers and 300 tokens, another one for each seed, on the same
terms: reward at the end and over all updates, and the same less the price of KL, which is what both maximise.
One answer token in fifty is a vowel at first, so that much depends on early luck: hence several seeds, and
the interval of the paired difference. Ours is shown with minibatches of half the answers and one epoch as
well, which is as many optimizer steps for half the work, and cannot be had from TRL 1.12.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppo_trl import NEVER, now

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "prompts" / "demo" / "prompts.jsonl"
PHASES = ("rollout", "update", "both")
OURS, SHARED, SMALLER, TRL = "publius", "publius, shared critic", "publius, minibatches of half", "TRL 1.12"
PRICES = (0.0, 0.01)
"""What a nat of KL costs, in the learning curves."""
FIGURES = ("final", "area", "final, net", "area, net")
Found = dict[str, Any]
"""What a process of one peer measured; its settings are as plain."""


def main() -> None:
    """Measure what is asked for and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, help="the interpreter that has TRL 1.12")
    parser.add_argument("--only", choices=("speed", "learning"))
    parser.add_argument("--rollouts", type=int, default=16, help="answers an update")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--micro-batch", type=int, default=4, help="rows that TRL trains on together")
    parser.add_argument(
        "--micro-tokens", type=int, default=2048, help="tokens that ours puts through together"
    )
    parser.add_argument("--updates", type=int, default=3, help="timed updates of a process")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each peer")
    parser.add_argument("--threads", type=int, help="of each peer; what torch takes if left out")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_alone(json.loads(options.alone.read_text()))))
        return
    if options.peer_python is None:
        parser.error("--peer-python is missing; how to make the environment stands above: --help")
    report: Found = {}
    for name, measure in (("speed", _speed), ("learning", _learning)):
        if options.only in (None, name):
            report[name] = measure(options)
            if options.json:
                options.json.write_text(json.dumps(report, indent=2) + "\n")


# Speed


def _speed(options: argparse.Namespace) -> Found:
    """Return medians over the updates of all rounds; the peers take turns."""
    from engines.embedded import ensure_embedded
    from publius.sources.prompts import read_prompts

    settings: Found = {
        "model": str(ensure_embedded()),
        "prompts": [prompt.model_dump()["messages"] for prompt in read_prompts(DEMO)][: options.rollouts],
        "new_tokens": options.new_tokens,
        "epochs": options.epochs,
        "minibatch": options.rollouts,
        "micro_batch": min(options.micro_batch, options.rollouts),
        "micro_tokens": options.micro_tokens,
        "updates": options.updates + 1,
        "temperature": 1.0,
        "learning_rate": 1e-5,
        "kl_coef": 0.05,
        "lora_r": 16,
        "lora_alpha": 32,
        "seed": 0,
    }
    runs: dict[str, list[Found]] = {OURS: [], TRL: [], SHARED: []}
    for number in range(options.rounds):
        for name, found in runs.items():
            found.append(_run(name, settings | {"seed": number}, options.peer_python, options.threads))
    rows = {name: _medians(found) for name, found in runs.items()}
    for row in rows.values():
        row["ratios"] = {
            kind: {phase: row[kind][phase] / rows[TRL][kind][phase] for phase in PHASES}
            for kind in ("rates", "cpu_rates")
        }
    _print_speed(rows)
    return {"setting": _described(settings, options), "results": rows, "runs": runs}


def _medians(runs: Sequence[Found]) -> Found:
    """Return medians over all timed updates: seconds, and tokens of answers for each of them."""
    timed = [update for run in runs for update in run["updates"][1:]]
    for update in timed:
        for unit in ("s", "cpu_s"):
            update[f"both_{unit}"] = update[f"rollout_{unit}"] + update[f"update_{unit}"]
    phases = (*PHASES, "experience", "optimize")
    return {
        "seconds": {phase: statistics.median(one[f"{phase}_s"] for one in timed) for phase in phases},
        "cpu_seconds": {phase: statistics.median(one[f"{phase}_cpu_s"] for one in timed) for phase in phases},
        "rates": {p: statistics.median(one["tokens"] / one[f"{p}_s"] for one in timed) for p in phases},
        "cpu_rates": {
            p: statistics.median(one["tokens"] / one[f"{p}_cpu_s"] for one in timed) for p in phases
        },
        "tokens": statistics.median(one["tokens"] for one in timed),
        "updates": len(timed),
        "gib": max(run["gib"] for run in runs),
        "trainable": runs[0]["trainable"],
        "optimizer_steps": runs[0]["optimizer_steps"] / len(runs[0]["updates"]),
    }


def _print_speed(rows: dict[str, Found]) -> None:
    print("tokens of answers per second (seconds of the clock, of processors); times TRL, by either")
    print(f"{'':24}" + "".join(f"{phase:>26}" for phase in PHASES) + f"{'tokens':>8}{'peak':>10}")
    for name, row in rows.items():
        cells = [
            f"{row['rates'][p]:.1f} ({row['seconds'][p]:.1f}, {row['cpu_seconds'][p]:.1f})" for p in PHASES
        ]
        print(
            f"{name:24}" + "".join(f"{c:>26}" for c in cells) + f"{row['tokens']:8.0f}{row['gib']:6.2f} GiB"
        )
        if name != TRL:
            both = [[row["ratios"][kind][p] for kind in ("rates", "cpu_rates")] for p in PHASES]
            print(f"{'  times TRL':24}" + "".join(f"{f'{a:.2f}, {b:.2f}':>26}" for a, b in both))


# Learning


def _learning(options: argparse.Namespace) -> list[Found]:
    """Return what each peer's answers earned, update by update, without and with a price on KL."""
    return [_curves(options, price) for price in PRICES]


def _curves(options: argparse.Namespace, price: float) -> Found:
    """Return the curves of all peers and seeds at one price, and what they come to."""
    settings: Found = {
        "prompts": [[{"role": "user", "content": f"q{number}"}] for number in range(64)],
        "new_tokens": 8,
        "epochs": 2,
        "minibatch": 64,
        "micro_batch": 64,
        "micro_tokens": 2048,
        "updates": 30,
        "temperature": 1.0,
        "learning_rate": 5e-2,
        "kl_coef": price,
        "lora_r": 8,
        "lora_alpha": 16,
    }
    runs: dict[str, list[list[Found]]] = {OURS: [], TRL: [], SHARED: [], SMALLER: []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            model = str(_tiny_model(Path(folder) / f"model-{seed}", seed))
            for name, found in runs.items():
                run = _run(name, settings | {"model": model, "seed": seed}, options.peer_python, threads=1)
                found.append(run["updates"])
    rows = {name: _summary(found, price) for name, found in runs.items()}
    for row in rows.values():
        row["differences"] = {n: _difference(row["seeds"][n], rows[TRL]["seeds"][n]) for n in FIGURES}
    _print_learning(rows, price)
    curves = {n: [[update["reward"] for update in run] for run in found] for n, found in runs.items()}
    return {"setting": _described(settings, options), "results": rows, "rewards": curves}


def _summary(runs: Sequence[Sequence[Found]], price: float) -> Found:
    """Return reward at the end (last five updates) and over all; and the same less what KL cost."""
    rewards = [[update["reward"] for update in run] for run in runs]
    nets = [[update["reward"] - price * update["kl"] for update in run] for run in runs]
    by_seed = {
        "final": [statistics.fmean(curve[-5:]) for curve in rewards],
        "area": [statistics.fmean(curve) for curve in rewards],
        "final, net": [statistics.fmean(curve[-5:]) for curve in nets],
        "area, net": [statistics.fmean(curve) for curve in nets],
    }
    return {"means": {name: statistics.fmean(found) for name, found in by_seed.items()}, "seeds": by_seed}


def _difference(ours: Sequence[float], theirs: Sequence[float]) -> Found:
    """Return the mean difference over seeds, with its 95 % interval by Student's t."""
    from scipy.stats import t

    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(gaps)
    half = 0.0
    if len(gaps) > 1:
        half = float(t.ppf(0.975, len(gaps) - 1)) * statistics.stdev(gaps) / len(gaps) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _print_learning(rows: dict[str, Found], price: float) -> None:
    print(f"\nreward at a KL price of {price:g}: mean over seeds (difference to TRL, 95 % interval)")
    print(f"{'':30}" + "".join(f"{name:>30}" for name in FIGURES))
    for name, row in rows.items():
        cells = []
        for figure in FIGURES:
            gap = row["differences"][figure]
            apart = "" if name == TRL else f" ({gap['low']:+.3f} to {gap['high']:+.3f})"
            cells.append(f"{row['means'][figure]:.3f}{apart}")
        print(f"{name:30}" + "".join(f"{cell:>30}" for cell in cells), flush=True)


def _tiny_model(folder: Path, seed: int) -> Path:
    """Write a random model of two layers over bytes that speaks ChatML, and return its folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from engines.tokenization import CHATML

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    names = {"eos_token": special[2], "pad_token": special[0]}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHATML, **names).save_pretrained(folder)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": 512,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(vocab_size=300, **shape, **heads, **ends)).save_pretrained(folder)
    return folder


# Processes of one peer


def _run(name: str, settings: Found, peer_python: Path, threads: int | None = None) -> Found:
    """Return what a process of one peer measured."""
    settings = settings | {"critic": "shared" if name == SHARED else "separate"}
    if name == SMALLER:
        settings |= {"minibatch": settings["minibatch"] // 2, "epochs": settings["epochs"] // 2}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        path.write_text(json.dumps(settings | {"prompt_ids": _encoded(settings)}))
        ours = [sys.executable, __file__, "--alone", str(path)]
        theirs = [str(peer_python.absolute()), str(Path(__file__).with_name("ppo_trl.py")), str(path)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if name != TRL:
            environment["PYTHONPATH"] = str(ROOT)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        command = theirs if name == TRL else ours
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, seed {settings['seed']}: done", file=sys.stderr, flush=True)
    return found


def _encoded(settings: Found) -> list[list[int]]:
    """Return the tokens of the prompts, as our training would encode them: TRL gets the very same."""
    from core.chat import turns_of
    from engines.config import ModelConfig
    from training.policy import load_encoder

    encoder = load_encoder(ModelConfig(id=settings["model"]))
    return [list(encoder.encode(turns_of(prompt.messages)).ids) for prompt in _prompts(settings)]


def _prompts(settings: Found) -> list[Any]:
    from core.records import Message, Prompt

    return [Prompt.of(tuple(Message(**one) for one in messages)) for messages in settings["prompts"]]


def _alone(settings: Found) -> Found:
    """Train with ours as the settings say, and return what was measured."""
    from engines.config import ModelConfig
    from training.config import LoraConfig, OptimConfig
    from training.job import TrainingJob
    from training.rl.config import PPOConfig
    from training.rl.reward_sum import WeightedReward
    from training.rl.task import RLTask
    from training.rl.train import train_ppo

    rate, rollouts = settings["learning_rate"], len(settings["prompts"])
    config = PPOConfig(
        steps=settings["updates"],
        rollouts=rollouts,
        minibatch=settings["minibatch"],
        ppo_epochs=settings["epochs"],
        temperature=settings["temperature"],
        max_new_tokens=settings["new_tokens"],
        learning_rate=rate,
        critic_learning_rate=rate,
        critic=settings["critic"],
        kl_coef=settings["kl_coef"],
        stop_kl=None,
        missing_eos_penalty=0.0,
        reward_clip=None,
        alarms="off",
    )
    optim = OptimConfig(
        micro_tokens=settings["micro_tokens"],
        warmup=0.0,
        schedule="constant",
        max_grad_norm=1e9,
        stop_grad_norm=None,
        checkpoint_every=10**6,
    )
    lora = LoraConfig(r=settings["lora_r"], alpha=settings["lora_alpha"])
    with tempfile.TemporaryDirectory() as folder:
        model = ModelConfig(id=settings["model"])
        job = TrainingJob("ppo", Path(folder) / "ppo", model, lora, optim, rate, 1.0, settings["seed"], "cpu")
        updates, steps = _stamped()
        train_ppo(RLTask(_prompts(settings), [WeightedReward(_Vowels())]), job, config)
        figures = json.loads((job.folder / "training.json").read_text())
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    return {
        "updates": updates,
        "gib": int(status.partition("VmHWM:")[2].split()[0]) / 2**20,
        "optimizer_steps": len(steps),
        "trainable": figures["trainable_parameters"],
        "versions": _versions(),
    }


def _stamped() -> tuple[list[Found], list[None]]:
    """Put time stamps around drawing, learning and the log of our loop; return where they and steps go."""
    from training.rl.ppo.loop import RLLoop
    from training.rl.ppo.update import PolicyUpdate
    from training.rl.reward_sum import RewardSum

    updates: list[Found] = []
    steps: list[None] = []
    stamps = {"drawn": NEVER, "learns": NEVER, "rewarded": NEVER}
    draw, log, score = RLLoop._drawn, RLLoop._log, RewardSum.score
    run, take = PolicyUpdate.run, PolicyUpdate._take

    def timed_draw(self: Any, *rest: Any) -> Any:
        started = now()
        rollouts = draw(self, *rest)
        stamps["drawn"] = now()
        tokens = sum(len(rollout.drawn.tokens) for rollout in rollouts)
        updates.append((stamps["drawn"] - started).named("rollout") | {"tokens": tokens})
        return rollouts

    def timed_score(self: Any, samples: Any) -> Any:
        started = now()
        scores = score(self, samples)
        stamps["rewarded"] = now() - started
        return scores

    def timed_run(self: Any, *rest: Any) -> Any:
        stamps["learns"] = now()
        return run(self, *rest)

    def timed_log(self: Any, step: int, figures: Found) -> None:
        done, drawn, rewarded = now(), stamps["drawn"], stamps["rewarded"]
        updates[-1] |= {"reward": figures["objective/scores"], "kl": figures["objective/kl"]}
        updates[-1] |= (done - drawn - rewarded).named("update")
        updates[-1] |= (stamps["learns"] - drawn - rewarded).named("experience")
        updates[-1] |= (done - stamps["learns"]).named("optimize")
        log(self, step, figures)

    def counted_take(self: Any, *rest: Any, **named: Any) -> None:
        take(self, *rest, **named)
        steps.append(None)

    RLLoop._drawn, RLLoop._log, RewardSum.score = timed_draw, timed_log, timed_score
    PolicyUpdate.run, PolicyUpdate._take = timed_run, counted_take
    return updates, steps


class _Vowels:
    """The share of vowels in an answer; `benchmarks/ppo_trl.py` has the same."""

    name = "vowels"

    def scores(self, samples: Sequence[Any]) -> list[float]:
        """Return the share for each answer."""
        return [sum(letter in "aeiou" for letter in s.text) / max(1, len(s.text)) for s in samples]


def _described(settings: Found, options: argparse.Namespace) -> Found:
    """Return the settings without paths and prompts, and what ran them."""
    import torch

    plain = {name: value for name, value in settings.items() if name not in ("model", "prompts", "seed")}
    return plain | {
        "rollouts": len(settings["prompts"]),
        "rounds": options.rounds,
        "seeds": options.seeds,
        "threads": options.threads or torch.get_num_threads(),
        "critic_of_trl": "a classifier of the same base with a LoRA adapter of the same shape",
    }


def _versions() -> Found:
    from importlib.metadata import version

    return {name: version(name) for name in ("transformers", "torch", "peft")}


if __name__ == "__main__":
    main()
