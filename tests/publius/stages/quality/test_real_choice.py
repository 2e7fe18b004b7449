"""The choice of a checkpoint with the embedded model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engines.tokenization import TurnEncoder
from publius.stages.quality import losses
from publius.stages.quality.encoding import encoded_passages, encoded_references
from publius.stages.quality.steered import read_choice
from publius.stages.runner import RunRequest, execute

pytestmark = pytest.mark.slow

CONSTITUTION = """\
name: short
principles:
  - {id: short, text: The reply has at most five words., check: {kind: max_words, value: 5}}
"""
RUN = """\
name: real
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: smollm2-135m-instruct}
critique:
  rounds: 1
  draft: {max_new_tokens: 12}
  critique: {max_new_tokens: 8}
  revision: {max_new_tokens: 8}
  drop: []
train: [sft]
optim: {batch_size: 2, epochs: 1}
choose: {prompts: 3, reference_loss: 1.0, finished: null, sameness: null}
eval: {sampling: {max_new_tokens: 12}}
"""


def test_the_embedded_model_reads_the_texts_with_about_a_hundred_tokens_each(embedded_encoder: TurnEncoder):
    passages = encoded_passages(embedded_encoder)
    assert all(70 <= len(row) <= 140 for row in passages.values())
    assert 3000 < sum(map(len, passages.values())) < 5000
    row = passages["news-1"]
    text = embedded_encoder.tokenizer.decode([*row.prompt_ids, *row.answer_ids])
    assert text.startswith("The town council voted on Tuesday")

    unseen: Any = None  # base is not shown the constitution
    references = encoded_references(unseen, embedded_encoder, "base")
    assert 2000 < sum(len(row.answer_ids) for row in references.values()) < 3500
    end = embedded_encoder.tokenizer.decode(references["everyday-1"].answer_ids)
    assert end.endswith("can then reach the pane.<|im_end|>")


def of_eight(encoded: Any, *given: Any) -> Any:
    return encoded(*given[:-1], 8)


@pytest.mark.long
def test_a_checkpoint_of_the_embedded_model_is_chosen_by_its_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, encoded in (
        ("encoded_passages", encoded_passages),
        ("encoded_references", encoded_references),
    ):
        eight = partial(of_eight, encoded)  # of forty, which take minutes
        monkeypatch.setattr(losses, name, eight)
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"What is {n} plus {n}?", "split": "train"} for n in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "run.yaml").write_text(RUN)
    stages = execute(RunRequest(tmp_path / "run.yaml", stages=("critique", "sft", "choose")))
    choice = read_choice(stages.folder / "steered")
    assert choice is not None
    base, sft = choice["checkpoints"]
    # English prose costs this model 3 to 4 nats a token; an adapter of a few steps hardly changes that.
    assert 3.0 < base["neutral_loss"] < 4.0
    assert 0 < abs(sft["neutral_loss"] - base["neutral_loss"]) < 0.2
    assert 2.5 < base["reference_loss"] < 4.5
    again = execute(RunRequest(tmp_path / "run.yaml", ("choose.neutral_loss=1.0",), stages=("choose",)))
    assert again.stages[0].counts.asked.total() == 0
    assert (read_choice(again.folder / "steered") or {})["checkpoints"][0] == base
