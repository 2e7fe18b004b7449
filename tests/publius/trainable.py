"""A small project whose policy is a tiny model, for tests of the stages that train and evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CONSTITUTION = """\
name: lower
principles:
  - {id: lower, text: The reply has no capitals., check: {kind: not_regex, value: "[A-Z]"}}
"""

SAMPLING = '{max_new_tokens: 40, stop: ["a", "e", "i", "o", "u", "r", "s", "t", "l", "m"]}'
"""A random model of bytes hardly ever ends its turn; one of ten letters comes soon enough."""

RUN = """\
name: tiny
constitution: constitution.yaml
prompts: prompts.jsonl
models: {{policy: {model}}}
engine: {{device: cpu}}
critique:
  rounds: 1
  draft: {sampling}
  critique: {{max_new_tokens: 4}}
  revision: {sampling}
  drop: [empty, truncated]
compare: {{from: {source}, samples: 2, sampling: {sampling}}}
label: {{principles: 0}}
train: {train}
lora: {{r: 4, alpha: 8}}
optim: {{batch_size: 4, micro_batch: 4, epochs: 4, max_length: 1024}}
sft: {{learning_rate: 2.0e-2, benign_replay: 3.0}}
dpo: {{learning_rate: 2.0e-2}}
eval: {{sampling: {{max_new_tokens: 12}}, texts: 4}}
"""

SPLITS = ("train", "train", "preference", "preference", "test") * 5


def roomy(model: Path, to: Path) -> Path:
    """Return a copy of a model with room for the critique's prompts, which are long in bytes."""
    shutil.copytree(model, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return to


def write_trainable(
    folder: Path,
    model: Path,
    source: str = "revisions",
    train: str = "[sft, dpo]",
    splits: tuple[str, ...] = SPLITS,
) -> Path:
    """Write the project; return its run file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "constitution.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Question number {i}?", "split": split} for i, split in enumerate(splits)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.yaml").write_text(RUN.format(model=model, source=source, train=train, sampling=SAMPLING))
    return folder / "run.yaml"
