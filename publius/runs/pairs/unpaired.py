"""Prompts of which a run compares no answers by its settings: how many, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from core.notices import counted
from core.records import Prompt, Split
from publius.config.run_file import RunConfig
from publius.runs.folder import Run
from training.methods import ON_POLICY_METHODS

UNPAIRED = "unpaired"
"""Field of the manifest's entry of the stage `compare`: number of such prompts by reason."""
_TEST = "prompts of the split test: for the evaluation alone (split.test)"
_VALIDATION = "prompts held out to choose a checkpoint by (choose)"
_ANSWERS = {"revisions": ("critique", "revisions"), "samples": ("sample", "samples")}
"""For each source of SFT, the stage that writes its answers, and what they are called."""


def unpaired_prompts(run: Run, splits: Collection[Split]) -> dict[str, int]:
    """Return how many prompts of a run are not among those whose answers are compared, by reason.

    Args:
        run: a run whose stages before `compare` have begun.
        splits: the splits whose answers are compared.
    """
    counts: Counter[str] = Counter()
    for prompt in run.narrow(iter(run.prompts)):
        if (reason := _reason(run, splits, prompt)) is not None:
            counts[reason] += 1
    return dict(counts.most_common())


def all_left_out(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return what stages of a run left out, by stage and reason, prompts without comparisons included."""
    found = {stage: stage_left_out(entry) for stage, entry in manifest["stages"].items()}
    return {stage: reasons for stage, reasons in found.items() if reasons}


def stage_left_out(entry: Mapping[str, Any]) -> dict[str, int]:
    """Return what a stage left out by reason, from its entry in the manifest."""
    return {**entry.get("left_out", {}), **entry.get(UNPAIRED, {})}


def unused_for_pairs(run: Run, splits: Collection[Split]) -> str | None:
    """Return a line about prompts that give no pairs although no training of the run needs them apart.

    Args:
        run: a run with its prompts.
        splits: the splits whose answers are compared.

    Returns:
        The line with the setting that compares answers to all of them; None if there are no such prompts.
    """
    config = run.config
    # What is not sampled is of no use to SFT either.
    users = ON_POLICY_METHODS if config.compare.source == "samples" else ("sft", *ON_POLICY_METHODS)
    if set(users) & set(config.train):
        return None
    counts = _by_split(run)
    idle = [split for split in ("train", "preference") if split not in splits and counts.get(split)]
    if not idle:
        return None
    unused = sum(counts[split] for split in idle)
    used = unused + sum(counts.get(split, 0) for split in splits)
    what = f"{unused:,} of {counted(used, 'prompt')} (split {', '.join(idle)}) give no pairs"
    why = "they are for SFT, which this run does not train" if "train" in idle else "they are not sampled"
    return f"{what}: {why}. {_remedy(config, idle)}"


def _by_split(run: Run) -> dict[str, int]:
    """Return the number of prompts by split, as the import counted them."""
    known: dict[str, int] | None = (run.manifest.get("prompts") or {}).get("splits")
    return known or dict(Counter(str(prompt.split) for prompt in run.prompts))


def _remedy(config: RunConfig, idle: Collection[str]) -> str:
    if config.compare.source == "samples":
        return "For pairs of all: --set sample.splits=[train,preference]"
    if "train" in idle and config.split.train:
        preference = round(config.split.train + config.split.preference, 6)
        without = "; the export then has no answers for SFT" if not config.train else ""
        shares = f"--set split.train=0 --set split.preference={preference:g}"
        return f"For pairs of all: {shares}{without}"
    return "For pairs of all, give them the split preference in their own column `split`"


def _reason(run: Run, splits: Collection[Split], prompt: Prompt) -> str | None:
    """Return why no answers to a prompt are compared; None if they are."""
    if prompt.split == "test":
        return _TEST
    if run.config.choose is not None and run.is_validation(prompt):
        return _VALIDATION
    if prompt.split in splits:
        return None
    what = f"prompts of the split {prompt.split}"
    if run.config.compare.source == "samples":
        return f"{what}: not sampled (sample.splits)"
    stage, answers = _ANSWERS[run.config.sft.source]
    if prompt.split == "train" and stage in run.manifest["stages"]:
        return f"{what}: their {answers} are for SFT and give no pairs (split.train)"
    return f"{what}: their answers are not compared (split.{prompt.split})"
