"""A reward model on real human preferences, ours and TRL's on the same pairs: accuracy, calibration, length.

    python benchmarks/reward_model.py --pairs harmless.jsonl --to DIR --json out.json

600 pairs of at most 256 tokens to train on and 300 to measure, by the hash of the prompt, so that no prompt
is on both sides. The embedded model, LoRA, two epochs. Killed at any moment, the same command goes on. Both
are scored by `engines/hf/reward_model.py`; TRL's tokens are ours.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

TRAIN, HELD_OUT, LONGEST = 600, 300, 256
SETTINGS = {"batch_size": 16, "epochs": 2.0, "learning_rate": 1e-4, "r": 16, "alpha": 32, "center": 0.01}


def main() -> None:
    """Train both, measure both, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="preference pairs in any of TRL's forms")
    parser.add_argument("--to", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    train, held_out = _sides(options.pairs)
    rows = {
        "publius": _publius(train, held_out, options.to / "publius"),
        "trl": _trl(train, held_out, options.to / "trl"),
    }
    for name, row in rows.items():
        print(f"{name:<8}" + "  ".join(f"{key} {_shown(value)}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _sides(path: Path) -> tuple[list[Any], list[Any]]:
    """Return pairs to train on and pairs to measure, none of which is too long."""
    from engines.config import ModelConfig
    from publius.sources.examples import DataSource, read_preferences
    from publius.sources.held_out import held_out_of
    from training.examples import encode_pair
    from training.policy import load_encoder

    encoder = load_encoder(ModelConfig(id="embedded"))
    pairs = read_preferences(DataSource(str(path))).rows
    short = [pair for pair in pairs if len(encode_pair(encoder, pair)) <= LONGEST]
    train, held_out = held_out_of(short, HELD_OUT / (HELD_OUT + TRAIN), "benchmark")
    if len(train) < TRAIN or len(held_out) < HELD_OUT:
        raise SystemExit(f"{path} holds too few short pairs: {len(train)} and {len(held_out)}")
    return train[:TRAIN], held_out[:HELD_OUT]


def _publius(train: list[Any], held_out: list[Any], folder: Path) -> dict[str, Any]:
    from publius.models.reward_model import finish_reward_model
    from training.config import RewardConfig
    from training.pairs.reward import train_reward

    job = _job(folder)
    config = RewardConfig(center=SETTINGS["center"])
    results = train_reward(train, job, config, held_out)
    content = finish_reward_model(job, config, results, train, held_out)
    seconds = json.loads((folder / "training.json").read_text())["seconds"]
    return _figures(content or {}, seconds)


def _trl(train: list[Any], held_out: list[Any], folder: Path) -> dict[str, Any]:
    from evaluation.reward.evaluation import evaluate_reward_model
    from evaluation.reward.report import reward_metrics_content
    from publius.models.reward_model import score_pairs

    if not (folder / "seconds.json").exists():
        _train_trl(train, folder)
    scored, _ = score_pairs(folder, _job(folder), held_out)
    content = reward_metrics_content(evaluate_reward_model(scored, 0))
    return _figures(content, json.loads((folder / "seconds.json").read_text()))


def _train_trl(train: list[Any], folder: Path) -> None:
    import torch
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.trainer_utils import get_last_checkpoint

    from engines.config import ModelConfig
    from engines.embedded import ensure_embedded
    from training.examples import encode_pair
    from training.policy import load_encoder

    base = ensure_embedded()
    encoder = load_encoder(ModelConfig(id="embedded"))
    encoded = [encode_pair(encoder, pair) for pair in train]
    rows = [
        {
            "chosen_ids": [*pair.chosen.prompt_ids, *pair.chosen.answer_ids],
            "rejected_ids": [*pair.rejected.prompt_ids, *pair.rejected.answer_ids],
        }
        for pair in encoded
    ]
    torch.manual_seed(0)
    lora = {"r": SETTINGS["r"], "lora_alpha": SETTINGS["alpha"], "target_modules": "all-linear"}
    trainer = trl.RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32),
        args=trl.RewardConfig(
            output_dir=str(folder / "checkpoints"),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=SETTINGS["batch_size"] // 4,
            num_train_epochs=SETTINGS["epochs"],
            learning_rate=SETTINGS["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            center_rewards_coefficient=SETTINGS["center"],
            save_steps=10,
            save_total_limit=1,
            report_to=[],
            max_length=None,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(**lora, task_type="SEQ_CLS", modules_to_save=["score"]),
    )
    started = time.monotonic()
    last = get_last_checkpoint(str(folder / "checkpoints")) if (folder / "checkpoints").exists() else None
    trainer.train(resume_from_checkpoint=last)
    trainer.model.save_pretrained(folder)
    (folder / "seconds.json").write_text(json.dumps(round(time.monotonic() - started, 1)))


def _job(folder: Path) -> Any:
    from engines.config import ModelConfig
    from training.config import LoraConfig, OptimConfig
    from training.job import TrainingJob

    optim = OptimConfig(batch_size=SETTINGS["batch_size"], checkpoint_every=10, max_length=LONGEST)
    lora = LoraConfig(r=SETTINGS["r"], alpha=SETTINGS["alpha"])
    own = (SETTINGS["learning_rate"], SETTINGS["epochs"])
    return TrainingJob("reward", folder, ModelConfig(id="embedded"), lora, optim, *own, 0, device="cpu")


def _figures(content: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return what the table shows."""
    length, calibration = content["length"], content["calibration"]
    return {
        "seconds": seconds,
        "accuracy": _interval(content["accuracy"]),
        "nll": _interval(content["nll"]),
        "brier": _interval(content["brier"]),
        "ece": calibration["before"]["ece"],
        "ece_after_temperature": calibration["after"]["ece"],
        "ece_by_chance": calibration["after"]["ece_by_chance"],
        "temperature": calibration["temperature"],
        "spearman_with_tokens": length["spearman"],
        "shorter_better": _interval(length["shorter_better"]),
        "longer_better": _interval(length["longer_better"]),
        "length_matched": _interval(length["matched"]),
        "longer_is_better_rule": _interval(length["longer_rule"]),
        "warnings": content["warnings"],
    }


def _interval(metric: dict[str, Any] | None) -> list[float] | None:
    return None if metric is None else [metric["value"], metric["low"], metric["high"], metric["n"]]


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f}, n {value[3]})"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
