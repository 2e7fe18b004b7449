"""Loss and gradient of a whole step are those of TRL's DistillationTrainer, on the same tokens in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.lazy import require
from engines.config import ModelConfig
from engines.trees import Tree
from tests.training.jobs import asked
from tests.training.pairs.test_trl_parity import in_double
from tests.training.rl.test_trl_parity import disturb, without_vllm
from training import policy
from training.checkpoints import TrainingFolder
from training.config import LoraConfig, OptimConfig
from training.distill.config import DistillConfig
from training.distill.loop import KL_TO_TEACHER, LOSS, DistillLoop
from training.distill.task import DistillData
from training.job import TrainingJob
from training.policy import save_adapter
from training.rl.ppo.actor_critic import load_actor_critic
from training.rl.ppo.drawing import LoopModels
from training.rl.rollouts import Drawn, Rollout, RolloutPrompt

PROMPTS, SAMPLES, BLOCK = 3, 2, 3
"""`BLOCK` answers go through TRL's model together."""
LORA = LoraConfig(r=4, alpha=8)
TRL: dict[str, Any] = {
    "per_device_train_batch_size": BLOCK,
    "gradient_accumulation_steps": PROMPTS * SAMPLES // BLOCK,
    "max_steps": 1,
    "disable_dropout": True,
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "gradient_checkpointing": False,
}
Step = tuple[float, dict[str, torch.Tensor]]
"""Loss, and gradient by parameter."""


def tokens(seed: int, least: int, most: int) -> tuple[int, ...]:
    drawn = torch.Generator().manual_seed(seed)
    length = int(torch.randint(least, most + 1, (), generator=drawn))
    return tuple(torch.randint(3, 250, (length,), generator=drawn).tolist())


STUDENT = [tokens(10 + number, 3, 9) for number in range(PROMPTS)]
TEACHER = [tokens(20 + number, 12, 30) + ids for number, ids in enumerate(STUDENT)]
ANSWERS = [
    (*tokens(30 + number, 1, 8), 2) if number % 3 else tokens(30 + number, 9, 9)  # every third one is cut
    for number in range(PROMPTS * SAMPLES)
]


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    load = policy.load_model
    monkeypatch.setattr(policy, "load_model", lambda *given, **named: in_double(load(*given, **named)))


def ours(model: Path, folder: Path, config: DistillConfig, start: Path | None, micro_tokens: int) -> Step:
    """Return loss and gradient of the loop on the given answers, after the student has moved."""
    optim = OptimConfig(micro_tokens=micro_tokens, max_grad_norm=1e9, warmup=0)
    own = ModelConfig(id=str(model))
    job = TrainingJob("distill", folder, own, LORA, optim, 1.0, 1.0, 0, "cpu", start)
    models = load_actor_critic(job, "none", None, Tree(TEACHER[0], (ANSWERS[0],)), config.temperature)
    disturb(models.policy, 3, 0.05)
    prompts = [RolloutPrompt(prompt, ids) for prompt, ids in zip(asked(PROMPTS), STUDENT, strict=True)]
    parts = LoopModels(models, None, lambda drawn: "")  # type: ignore[arg-type]
    loop = DistillLoop(job, config, DistillData(prompts, TEACHER), parts, TrainingFolder(folder))
    gradients: dict[str, torch.Tensor] = {}

    def keep(*_: Any) -> None:
        found = loop._group.parameters.items()
        gradients.update({name: p.grad.clone() for name, p in found if p.grad is not None})

    loop._group.optimizer.register_step_pre_hook(keep)
    rollouts = [
        Rollout(prompts[n // SAMPLES], Drawn(ids, (0.0,) * len(ids), ids[-1] == 2), "")
        for n, ids in enumerate(ANSWERS)
    ]
    metrics = loop._update(rollouts, [TEACHER[n // SAMPLES] for n in range(len(ANSWERS))], 1)
    assert config.beta < 1 or metrics[LOSS] == pytest.approx(metrics[KL_TO_TEACHER])
    return metrics[LOSS], gradients


def theirs(model: Path, folder: Path, config: DistillConfig, start: Path | None) -> Step:
    """Return loss and gradient of TRL's trainer on the same tokens; only the teacher's prompt is put in."""
    with without_vllm():
        from trl import DistillationConfig, DistillationTrainer  # type: ignore[attr-defined]

    class Given(DistillationTrainer):  # type: ignore[misc]
        """Draws nothing, and shows the teacher a prompt of its own: TRL's sees the student's."""

        def _generate(self, prompts: Any) -> Any:
            asked_for = [list(STUDENT[int(number) // SAMPLES]) for number in prompts]
            return asked_for, [list(ids) for ids in ANSWERS], None, None, None

        def _get_last_hidden_state(self, unwrapped: Any, ids: Any, mask: Any, keep: int, **rest: Any) -> Any:
            if unwrapped is self.teacher_model:
                prompts = [TEACHER[number // SAMPLES] for number in self.block]
                width = max(map(len, prompts))
                ahead = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompts])
                shown = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
                ids, mask = torch.cat([ahead, ids[:, -keep:]], 1), torch.cat([shown, mask[:, -keep:]], 1)
            return super()._get_last_hidden_state(unwrapped, ids, mask, keep, **rest)

    own = ModelConfig(id=str(model))
    student, teacher = (policy.load_policy(own, LORA, "cpu", 0, start) for _ in range(2))
    encoder = policy.load_encoder(own)
    trainer = Given(
        model=student,
        teacher_model=teacher,
        args=DistillationConfig(
            output_dir=str(folder), beta=config.beta, temperature=config.temperature, **TRL
        ),
        train_dataset=require("datasets", "train").Dataset.from_dict({"prompt": ["0"] * PROMPTS}),
        processing_class=encoder.tokenizer,
    )
    disturb(student, 3, 0.05)
    trainer.model.train()
    batch = trainer._generate_and_score_completions([{"prompt": str(n)} for n in range(len(ANSWERS))])
    total = 0.0
    for first in range(0, len(ANSWERS), BLOCK):
        trainer.block = range(first, first + BLOCK)
        part = {
            name: value[first : first + BLOCK] if value.dim() > 0 else value for name, value in batch.items()
        }
        loss = trainer.compute_loss(trainer.model, part)
        loss.backward()
        total += loss.item()
    return total, {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}


@pytest.fixture
def start(tiny_folder: Path, tmp_path: Path) -> Path:
    """An adapter to start from, which is not that of a new one."""
    adapted: Any = policy.load_policy(ModelConfig(id=str(tiny_folder)), LORA, "cpu", 0, None)
    disturb(adapted, 5, 0.05)
    save_adapter(adapted, tmp_path / "start", str(tiny_folder))
    return tmp_path / "start"


@pytest.mark.parametrize("from_adapter", [False, True])
@pytest.mark.parametrize(
    ("beta", "temperature", "micro_tokens"), [(1.0, 1.0, 16), (1.0, 0.7, 512), (0.5, 2.0, 64), (0.0, 1.0, 64)]
)
def test_loss_and_gradient_are_trls(
    beta: float,
    temperature: float,
    micro_tokens: int,
    from_adapter: bool,
    start: Path,
    tiny_folder: Path,
    tmp_path: Path,
):
    config = DistillConfig(
        steps=1,
        rollouts=len(ANSWERS),
        samples=SAMPLES,
        beta=beta,
        temperature=temperature,
        learning_rate=1e-9,
    )
    begun = start if from_adapter else None
    loss, gradients = ours(tiny_folder, tmp_path / "ours", config, begun, micro_tokens)
    expected, expected_gradients = theirs(tiny_folder, tmp_path / "theirs", config, begun)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert loss > 1e-3
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert (gradient - expected_gradients[name]).abs().max() < 1e-5
    # And far below what the tolerance would hide: TRL's own tiles are in float32.
    assert max(gradient.abs().max() for gradient in gradients.values()) > 1e-3
