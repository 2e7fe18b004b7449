"""The peer of `benchmarks/ppo.py`: TRL 1.12's PPOTrainer in an environment of its own, its phases timed.

    python benchmarks/ppo_trl.py SETTINGS.json

TRL's own loop runs as it is; time stamps are taken around three of its functions (`batch_generation`,
`get_reward`, `forward`) and at its log. Three things are ours: the reward is `vowel_share` of the decoded
answer, called in place of a reward network; the value model gets a LoRA adapter (put into the plain
classifier, as TRL's wrapper wants it) with a head of zeros; and prompts come in order, each once an update.
The last batch of the data is never reached, because accelerate would there step once a micro-batch.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def vowel_share(text: str) -> float:
    """Return which part of a text's characters are vowels."""
    return sum(letter in "aeiou" for letter in text) / max(1, len(text))


class Moment(NamedTuple):
    """A point in time, or a span of it: of the clock, and of this process's processors."""

    s: float
    cpu_s: float

    def __sub__(self, other: Moment) -> Moment:
        return Moment(self.s - other.s, self.cpu_s - other.cpu_s)

    def named(self, name: str) -> dict[str, float]:
        """Return a span as it stands in the output."""
        return {f"{name}_s": self.s, f"{name}_cpu_s": self.cpu_s}


NEVER = Moment(0.0, 0.0)


def now() -> Moment:
    """Return this moment."""
    return Moment(time.perf_counter(), time.process_time())


class Stamps:
    """What TRL's loop did when, by update.

    Args:
        tokenizer: for reading answers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.updates: list[dict[str, float]] = []
        self._tokenizer = tokenizer
        self._drawn = self._learns = self._rewarded = NEVER

    def install(self, trainer: Any) -> None:
        """Put time stamps around the functions of TRL's loop."""
        import torch
        from trl.experimental.ppo import ppo_trainer as module

        generate, reward, forward, log = (
            module.batch_generation,
            module.get_reward,
            module.forward,
            trainer.log,
        )

        def timed_generation(model: Any, queries: Any, *rest: Any) -> Any:
            started = now()
            found = generate(model, queries, *rest)
            self._drawn, self._learns, self._rewarded = now(), NEVER, NEVER
            tokens = sum(map(len, self._answers(found[0], queries.shape[1])))
            self.updates.append((self._drawn - started).named("rollout") | {"tokens": tokens})
            return found

        def timed_reward(model: Any, rows: Any, pad: int, context: int) -> Any:
            if model is not trainer.reward_model:
                return reward(model, rows, pad, context)
            started = now()
            scores = torch.tensor([self._score(answer) for answer in self._answers(rows, context)])
            self._rewarded = now() - started
            return None, scores, None

        def timed_forward(model: Any, *rest: Any) -> Any:
            if torch.is_grad_enabled() and self._learns is NEVER:
                self._learns = now()
            return forward(model, *rest)

        def timed_log(figures: dict[str, float], *rest: Any) -> None:
            done = now()
            self.updates[-1] |= {"reward": figures["objective/scores"], "kl": figures["objective/kl"]}
            self.updates[-1] |= (done - self._drawn - self._rewarded).named("update")
            self.updates[-1] |= (self._learns - self._drawn - self._rewarded).named("experience")
            self.updates[-1] |= (done - self._learns).named("optimize")
            log(figures, *rest)

        module.batch_generation, module.get_reward, module.forward = (
            timed_generation,
            timed_reward,
            timed_forward,
        )
        trainer.log = timed_log

    def _answers(self, rows: Any, context: int) -> list[list[int]]:
        """Return the tokens of each answer, its end included and nothing behind it."""
        end = self._tokenizer.eos_token_id
        found = [row[context:].tolist() for row in rows]
        return [row[: row.index(end) + 1] if end in row else row for row in found]

    def _score(self, answer: list[int]) -> float:
        return vowel_share(self._tokenizer.decode(answer, skip_special_tokens=True))


def trainer_of(settings: dict[str, Any]) -> Any:
    """Return TRL's trainer on the settings that `benchmarks/ppo.py` wrote."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(settings["model"], padding_side="left")
    rollouts = len(settings["prompt_ids"])
    config = PPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        num_sample_generations=0,
        seed=settings["seed"],
        per_device_train_batch_size=settings["micro_batch"],
        gradient_accumulation_steps=rollouts // settings["micro_batch"],
        local_rollout_forward_batch_size=rollouts,
        num_mini_batches=1,
        num_ppo_epochs=settings["epochs"],
        total_episodes=rollouts * settings["updates"],
        response_length=settings["new_tokens"],
        temperature=settings["temperature"],
        stop_token="eos",
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="constant",
        adam_epsilon=1e-5,
        kl_coef=settings["kl_coef"],
    )
    lora: dict[str, Any] = {"r": settings["lora_r"], "lora_alpha": settings["lora_alpha"]}
    lora |= {"target_modules": "all-linear"}
    rows = Dataset.from_list(
        [{"input_ids": ids} for ids in settings["prompt_ids"]] * (settings["updates"] + 1)
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32),
        ref_model=None,
        reward_model=torch.nn.Module(),
        train_dataset=rows,
        value_model=_value_model(settings["model"], LoraConfig(**lora, task_type="SEQ_CLS")),
        peft_config=LoraConfig(**lora, task_type="CAUSAL_LM"),
    )
    in_order = DataLoader(rows, batch_size=rollouts, collate_fn=trainer.data_collator, drop_last=True)
    trainer.dataloader = trainer.accelerator.prepare(in_order)
    return trainer


def _value_model(folder: str, lora: Any) -> Any:
    import torch
    from peft import inject_adapter_in_model
    from transformers import AutoModelForSequenceClassification

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    torch.nn.init.zeros_(model.score.weight)
    model = inject_adapter_in_model(lora, model)
    model.score.weight.requires_grad_(True)
    return model


def main() -> None:
    """Train as the settings say, and print what was measured as the last line."""
    import torch
    import transformers
    import trl

    settings = json.loads(Path(sys.argv[1]).read_text())
    trainer = trainer_of(settings)
    stamps = Stamps(trainer.processing_class)
    stamps.install(trainer)
    steps = _count_steps(trainer.optimizer.optimizer)
    trainer.train()
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    found = {
        "updates": stamps.updates,
        "gib": int(status.partition("VmHWM:")[2].split()[0]) / 2**20,
        "optimizer_steps": len(steps),
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "versions": {
            "trl": trl.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        },
    }
    print(json.dumps(found))


def _count_steps(optimizer: Any) -> list[None]:
    steps: list[None] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(None))
    return steps


if __name__ == "__main__":
    main()
