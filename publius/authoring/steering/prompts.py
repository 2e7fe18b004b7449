"""The prompts to steer with, each with its split: the user's, the demo's, or ones that the model writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import digest
from core.errors import DataError, shell_command
from core.notices import counted, note
from core.records import Prompt, Split
from engines.embedded import EMBEDDED_NAME
from prompts.sources import assign_split
from publius.config.run_file import PromptsConfig, SplitConfig
from publius.sources.prompt_survey import survey
from publius.stages.prompts import admitted_rows

MIN_TRAIN, MIN_TEST = 24, 8
"""Fewest prompts to train on, a third of which are for the choice of the checkpoint, and to evaluate on."""
_ALL_TRAIN = SplitConfig(train=1.0, preference=0.0, test=0.0)
_SHARES: Mapping[Split, float] = {"train": 0.7, "test": 0.3}
"""Shares of the prompts where none is a test prompt by a split of its own."""
_MAX_TEST = 48
"""Test prompts at most where they are chosen by hash."""
_MIN_IN_SCOPE = 32
"""Prompts of the demo that must be in the scope of each principle for the demo to be used."""
_WRITTEN = 144

Writer = Callable[[int, Path], None]
"""Has the model write this number of prompts into a new file."""


@dataclass(frozen=True)
class SteerPrompts:
    """Prompts with their splits, and where they are from."""

    train: tuple[Prompt, ...]
    test: tuple[Prompt, ...]
    origin: str
    """Where they are from, in words."""

    @property
    def digest(self) -> str:
        """Digest of the prompts and their splits."""
        return digest("steer prompts", [p.id for p in self.train], [p.id for p in self.test])

    def limited(self, train: int, test: int) -> SteerPrompts:
        """Return at most so many prompts of each split, the first ones of the file."""
        return SteerPrompts(self.train[:train], self.test[:test], self.origin)

    def lines(self) -> str:
        """Return the prompts as a prompts file."""
        return "".join(_line(p, s) for s, ps in (("train", self.train), ("test", self.test)) for p in ps)


def given_prompts(path: Path) -> SteerPrompts:
    """Return the prompts of a file, a folder or a Hugging Face id.

    Rows of the splits `train` and `preference` are trained on. Where no row is of the split `test`, about a
    third of the prompts are held out.

    Raises:
        DataError: the data set cannot be read, or has too few prompts.
    """
    source = PromptsConfig(path=path)
    found = survey(source, "file")
    admissions = [
        row.admission
        for row in admitted_rows(source, _ALL_TRAIN, found)
        if row.admission is not None and not row.admission.reason
    ]
    if found.unread_splits:
        note(f"prompts: {found.unread_splits}")
    if skipped := found.rows - len(admissions):
        note(f"prompts: {counted(found.rows, 'row')} of {path}, {skipped:,} skipped")
    prompts = [admission.prompt for admission in admissions]
    if not any(prompt.split == "test" for prompt in prompts):
        # Near-duplicates are dropped: one of them might be trained on and the other evaluated on.
        prompts = _with_test([admission.prompt for admission in admissions if not admission.near])
    train = tuple(prompt for prompt in prompts if prompt.split != "test")
    test = tuple(prompt for prompt in prompts if prompt.split == "test")
    _require_enough(len(train), len(test), str(path))
    return SteerPrompts(train, test, str(path))


def demo_prompts() -> SteerPrompts:
    """Return the prompts of the demo, 96 to train on and 48 to evaluate on."""
    path = Path(str(files("prompts") / "demo" / "prompts.jsonl"))
    return replace(given_prompts(path), origin="the demo's prompts")


def found_prompts(
    constitution: Constitution, source: str, model: str, project: Path, write: Writer
) -> SteerPrompts:
    """Return prompts where the user gives none: the demo's if the principles apply to them, else new ones.

    Args:
        constitution: the constitution.
        source: how it is named, for the message.
        model: the model to steer, which writes the prompts.
        project: folder for the written prompts.
        write: writes them.

    Raises:
        DataError: the demo's prompts do not fit, and the embedded model cannot write better ones.
    """
    demo = demo_prompts()
    unfit = [p for p in constitution.steering if _in_scope(p, (*demo.train, *demo.test)) < _MIN_IN_SCOPE]
    if not unfit:
        return demo
    ids = ", ".join(principle.id for principle in unfit[:3])
    if model in (EMBEDDED_NAME, "embedded"):
        raise DataError(
            f"few of the demo's prompts are in the scope of {ids}; the embedded model cannot write others",
            where="--prompts",
            accepted=f"a file with at least {MIN_TRAIN + MIN_TEST} prompts that these principles apply to",
            run=shell_command(
                "publius", "prompts", source, "-n", _WRITTEN, "--model", "MODEL", "--to", "FILE"
            ),
        )
    path = project / "written.jsonl"
    if not path.exists():
        note(f"few of the demo's prompts are in the scope of {ids}: {model} writes {_WRITTEN} prompts")
        project.mkdir(parents=True, exist_ok=True)
        write(_WRITTEN, path)
    return replace(given_prompts(path), origin=f"prompts that {model} wrote for the constitution")


def _in_scope(principle: Principle, prompts: Iterable[Prompt]) -> int:
    return sum(in_scope(principle, prompt) for prompt in prompts)


def _with_test(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Return the prompts with test prompts among them, chosen by the hash of their text."""
    split, test = [], 0
    for prompt in prompts:
        chosen = assign_split(prompt.model_copy(update={"split": None}), _SHARES)
        test += chosen.split == "test"
        split.append(chosen if test <= _MAX_TEST else chosen.model_copy(update={"split": "train"}))
    return split


def _require_enough(train: int, test: int, where: str) -> None:
    if train < MIN_TRAIN or test < MIN_TEST:
        raise DataError(
            f"too few prompts: {train} to train on and {test} to evaluate on",
            where=where,
            accepted=f"at least {MIN_TRAIN} and {MIN_TEST}; about {2 * MIN_TRAIN} prompts without a split",
        )


def _line(prompt: Prompt, split: str) -> str:
    messages = [message.model_dump(mode="json") for message in prompt.messages]
    row = {"messages": messages, "tags": list(prompt.tags), "source": prompt.source, "split": split}
    return json.dumps({key: value for key, value in row.items() if value}, ensure_ascii=False) + "\n"
