"""An optimizer step on preference pairs, DPO and reward model: ours against TRL's, on the very same tokens.

    python benchmarks/pairs.py --pairs hh.jsonl --json out.json

Both train the same LoRA adapter on the same four pairs a step, from the same weights and with the same
optimizer, and take turns, so that a busy machine slows both. TRL's reference log-probabilities are
precomputed, its checkpointing and bf16 are off. The losses of all steps are compared. Peak memory is that of
a process that runs one peer alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PAIRS_A_STEP = 4
LONGEST = 256
LEARNING_RATE = 1e-4
KINDS = {
    "dpo, prompt at least twice the answers": ("dpo", True),
    "dpo, as they come": ("dpo", False),
    "reward, as they come": ("reward", False),
}


@dataclass
class Peer:
    """One of the two trainers, ready to take a step."""

    name: str
    model: Any
    optimizer: Any
    backward: Callable[[int], Any]
    """Runs forward and backward of a step's pairs, and returns the loss."""

    def step(self, number: int) -> tuple[float, float]:
        """Take an optimizer step; return its seconds and its loss."""
        started = time.perf_counter()
        loss = self.backward(number)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started, float(loss)


def main() -> None:
    """Measure all kinds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="preference pairs in any of TRL's forms")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", choices=("publius", "trl"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=tuple(KINDS), help="measure only this")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_alone(options)))
        return
    rows = []
    for kind in [options.kind] if options.kind else KINDS:
        row = _measured(options, kind)
        rows.append(row)
        print(
            f"{row['kind']:<40} publius {row['publius_s']:6.2f} s  TRL {row['trl_s']:6.2f} s  "
            f"ratio {row['ratio']:.2f}  losses within {row['loss_difference']:.1e}  "
            f"peak {row['publius_gib']:.2f} / {row['trl_gib']:.2f} GiB",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _measured(options: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Return the medians over interleaved steps; the first step of each peer is not counted."""
    steps = options.steps + 1
    ours, theirs = _peers(options.pairs, kind, steps, ("publius", "trl"))
    taken: dict[str, list[tuple[float, float]]] = {"publius": [], "trl": []}
    for number in range(steps):
        for peer in (ours, theirs) if number % 2 else (theirs, ours):
            taken[peer.name].append(peer.step(number))
    del ours, theirs
    gc.collect()
    medians = {name: statistics.median(s for s, _ in rows[1:]) for name, rows in taken.items()}
    ratios = [t / o for (o, _), (t, _) in zip(taken["publius"][1:], taken["trl"][1:], strict=True)]
    losses = [abs(o - t) / abs(t) for (_, o), (_, t) in zip(taken["publius"], taken["trl"], strict=True)]
    return {
        "kind": kind,
        "publius_s": medians["publius"],
        "trl_s": medians["trl"],
        "ratio": statistics.median(ratios),
        "loss_difference": max(losses),
        "publius_gib": _peak(options, kind, "publius"),
        "trl_gib": _peak(options, kind, "trl"),
    }


def _peak(options: argparse.Namespace, kind: str, name: str) -> float:
    """Return the peak resident memory in GiB of a process that runs one peer alone."""
    command = [sys.executable, __file__, "--pairs", str(options.pairs), "--alone", name, "--kind", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    peak: float = json.loads(done.stdout.splitlines()[-1])["gib"]
    return peak


def _alone(options: argparse.Namespace) -> dict[str, float]:
    (peer,) = _peers(options.pairs, options.kind, 3, (options.alone,))
    for number in range(3):
        peer.step(number)
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    return {"gib": int(status.partition("VmHWM:")[2].split()[0]) / 2**20}


def _peers(path: Path, kind: str, steps: int, names: Sequence[str]) -> list[Peer]:
    """Return the peers over the same pairs; TRL's tokens are ours too."""
    from engines.embedded import ensure_embedded

    method, long_prompts = KINDS[kind]
    folder = ensure_embedded()
    trainer, rows = _trl(method, _rows(path, folder, steps * PAIRS_A_STEP, long_prompts), folder)
    made = []
    if "publius" in names:
        made.append(_publius(method, rows, folder))
    if "trl" in names:
        collated = [trainer.data_collator(_trl_rows(trainer, number)) for number in range(steps)]
        optimizer = _optimizer(trainer.model)
        made.append(
            Peer("trl", trainer.model, optimizer, lambda n: trainer.training_step(trainer.model, collated[n]))
        )
    return made


def _rows(path: Path, folder: Path, count: int, long_prompts: bool) -> list[dict[str, Any]]:
    """Return the first pairs of at most 256 tokens, as TRL takes them."""
    from engines.config import ModelConfig
    from publius.sources.examples import DataSource, read_preferences
    from training.examples import encode_pair
    from training.policy import load_encoder

    encoder = load_encoder(ModelConfig(id=str(folder)))
    found = []
    for pair in read_preferences(DataSource(str(path))).rows:
        encoded = encode_pair(encoder, pair)
        answers = max(map(len, encoded.tree.answers))
        if len(encoded) > LONGEST or (long_prompts and len(encoded.chosen.prompt_ids) < 2 * answers):
            continue
        found.append(
            {
                "prompt": [message.model_dump() for message in pair.prompt],
                "chosen": [{"role": "assistant", "content": pair.chosen}],
                "rejected": [{"role": "assistant", "content": pair.rejected}],
            }
        )
        if len(found) == count:
            return found
    raise SystemExit(f"{path} holds only {len(found)} such pairs; {count} are needed")


def _trl(method: str, rows: list[dict[str, Any]], folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Return TRL's trainer with an adapter that changes something, and its rows as token ids."""
    import torch
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    head = {"num_labels": 1} if method == "reward" else {}
    kind = AutoModelForSequenceClassification if method == "reward" else AutoModelForCausalLM
    torch.manual_seed(0)
    model = kind.from_pretrained(folder, dtype=torch.float32, **head)
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": PAIRS_A_STEP,
        "report_to": [],
        "max_length": None,
    }
    if method == "dpo":
        settings["precompute_ref_log_probs"] = True
    config = (trl.RewardConfig if method == "reward" else trl.DPOConfig)(**settings)
    task = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]} if method == "reward" else {}
    trainer = (trl.RewardTrainer if method == "reward" else trl.DPOTrainer)(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", **task),
    )
    if method == "dpo":
        trainer.get_train_dataloader()  # computes the reference, before the adapter speaks
    _perturb(trainer.model)
    trainer.current_gradient_accumulation_steps = 1  # what `train` itself would set
    trainer.model.train()
    return trainer, list(trainer.train_dataset)


def _trl_rows(trainer: Any, number: int) -> list[dict[str, Any]]:
    first = number * PAIRS_A_STEP
    return [trainer.train_dataset[index] for index in range(first, first + PAIRS_A_STEP)]


def _publius(method: str, rows: Sequence[dict[str, Any]], folder: Path) -> Peer:
    """Return our trainer on the same tokens, with the same adapter."""
    import torch
    from transformers import TrainingArguments

    from engines.config import ModelConfig
    from training.config import DPOConfig, LoraConfig
    from training.packed import PolicyScorer
    from training.pairs.dpo_objective import DPOObjective
    from training.pairs.reward_objective import RewardObjective
    from training.policy import load_policy, load_reward_policy
    from training.steps.objective import ObjectiveTrainer

    load = load_reward_policy if method == "reward" else load_policy
    model: Any = load(ModelConfig(id=str(folder)), LoraConfig(r=16, alpha=32), "cpu", 0)
    pairs = [_pair(row) for row in rows]
    objective: Any
    if method == "reward":
        objective = RewardObjective(model, 0.0, packed=True)
        torch.manual_seed(0)
        from transformers import AutoModelForSequenceClassification

        same = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        model.get_base_model().score.modules_to_save["default"].weight.data.copy_(same.score.weight)
    else:
        scorer = PolicyScorer(model, pairs[0].tree)
        with torch.inference_mode():
            known = [scorer(model, [pair.tree]).tolist() for pair in pairs]
        pairs = [replace(pair, reference=tuple(both)) for pair, both in zip(pairs, known, strict=True)]
        objective = DPOObjective(DPOConfig(), scorer)
    _perturb(model)
    arguments = TrainingArguments(output_dir=tempfile.mkdtemp(), use_cpu=True, report_to=[])
    trainer = ObjectiveTrainer(model, arguments, pairs, (), objective, batch_size=PAIRS_A_STEP, tokens=2048)

    def backward(number: int) -> Any:
        first = number * PAIRS_A_STEP
        return trainer.training_step(model, {"pairs": pairs[first : first + PAIRS_A_STEP]})

    return Peer("publius", model, _optimizer(model), backward)


def _pair(row: dict[str, Any]) -> Any:
    from training.examples import EncodedAnswer, EncodedPair

    chosen, rejected = tuple(row["chosen_ids"]), tuple(row["rejected_ids"])
    prompt = tuple(row.get("prompt_ids") or _common(chosen, rejected))
    if not row.get("prompt_ids"):
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    sides = (EncodedAnswer(prompt, chosen), EncodedAnswer(prompt, rejected))
    return EncodedPair("pair", *sides, 1.0, 1.0)


def _common(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Return what both begin with, less one token, so that no answer is empty."""
    count = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    return list(first[: max(1, min(count, len(first) - 1, len(second) - 1))])


def _perturb(model: Any) -> None:
    """Give every adapter the same random output, so that losses are not those of the base model."""
    import torch

    generator = torch.Generator().manual_seed(1)
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" in name:
            scale = 0.01 if "lora_B" in name else 0.1
            parameter.data.copy_(scale * torch.randn(parameter.shape, generator=generator))


def _optimizer(model: Any) -> Any:
    import torch

    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)


if __name__ == "__main__":
    main()
