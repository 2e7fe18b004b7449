"""Prompts of the bench: pinned in a file of the project, sampled from those of the run, or typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.digests import derive_uniform
from core.errors import PubliusError
from core.records import Prompt
from core.store.files import write_atomic
from publius.config.run_file import PromptsConfig, RunConfig, SplitConfig
from publius.sources.prompt_survey import survey
from publius.stages.prompts import admitted_rows

FIRST_SAMPLED = 4
"""Prompts that a bench begins with if none is pinned."""


def pinned_prompts(path: Path) -> list[Prompt]:
    """Return the prompts of the file of pinned ones, without those that a run could not use; none if missing.

    Raises:
        DataError: the file has no usable prompt.
    """
    if not path.is_file() or not path.read_bytes().strip():
        return []
    return _usable(PromptsConfig(path=path), SplitConfig())


def write_pinned(path: Path, prompts: Sequence[Prompt]) -> None:
    """Replace the file of pinned prompts."""
    write_atomic(path, "".join(json.dumps(_row(prompt), ensure_ascii=False) + "\n" for prompt in prompts))


def sampled_prompts(config: RunConfig, count: int, taken: Sequence[str], seed: int) -> list[Prompt]:
    """Return prompts of the run that are not on the bench, drawn at random; fewer if there are not as many.

    Args:
        config: the configuration of the run; one without a file of prompts has none.
        count: number of prompts.
        taken: ids of the prompts on the bench.
        seed: seed of the draw.
    """
    try:
        found = _usable(config.prompts, config.split)
    except (PubliusError, OSError):
        return []
    left = {prompt.id: prompt for prompt in found if prompt.id not in set(taken)}
    order = sorted(left, key=lambda identity: derive_uniform(seed, "bench", identity))
    return [left[identity] for identity in order[:count]]


def _usable(prompts: PromptsConfig, split: SplitConfig) -> list[Prompt]:
    rows = admitted_rows(prompts, split, survey(prompts))
    return [row.admission.prompt for row in rows if row.admission and not row.admission.reason]


def _row(prompt: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = {"tags": list(prompt.tags)} if prompt.tags else {}
    if len(prompt.messages) == 1:
        return {"prompt": prompt.messages[0].content, **row}
    return {"messages": [message.model_dump() for message in prompt.messages], **row}
