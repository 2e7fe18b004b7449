"""People's judgments on their way into a run: matched by comparison, added where the run has none of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError, DataError
from core.records import Comparison, Judgment, Prompt
from engines.cached import RequestCounts
from labelers.config import LabelConfig
from labelers.crowd.votes import MACHINES, annotator_of
from labelers.mixing import rules_of
from prompts.sources import assign_split, normalised
from publius.runs.folder import Run
from publius.runs.reader import open_judgments
from publius.runs.records import RunFiles

STAGE = "people"
"""The name under which the manifest and the exclusions speak of it."""


@dataclass
class CopiedAnnotations:
    """What came of the folders that `label.humans` names."""

    matched: set[str] = field(default_factory=set)
    """Comparisons of the run itself that people judged."""
    added: set[str] = field(default_factory=set)
    """Comparisons that came with the judgments."""
    annotators: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    judgments: set[str] = field(default_factory=set)
    """One that stands in two folders counts once."""

    def counts(self) -> dict[str, int]:
        """Return the figures for the manifest."""
        found = {
            "judgments": self.judgments,
            "matched": self.matched,
            "added": self.added,
            "annotators": self.annotators,
        }
        return {name: len(ids) for name, ids in found.items()}


def copy_annotations(run: Run) -> CopiedAnnotations:
    """Copy the judgments of all folders into the run, with their comparisons where it has none of its own.

    A comparison that is added gets its prompt's split as the run's own prompts do, so that none of a held-out
    prompt is learned from: its judgments are counted out. Done again, it changes nothing.

    Raises:
        DataError: a folder has no judgments, or another comparison under an id of the run's.
        ConfigError: `label.weights` or a rule names a source that nobody judged for.
    """
    reader = _Reader(run)
    for folder in run.config.label.humans:
        with open_judgments(folder) as files:
            for judgment in files.judgments:
                reader.take(judgment, folder, files)
            for comparison in files.comparisons:
                if comparison.id not in run.comparisons and not files.judgments.has_children(comparison.id):
                    run.exclude(STAGE, comparison.id, "nobody judged it", str(folder))
    _require_known_sources(run.config.label, reader.taken.sources)
    run.added_comparisons.sync()
    run.judgments.sync()
    run.manifest[STAGE] = reader.taken.counts()
    run.record_stage(STAGE, len(reader.taken.judgments), RequestCounts(), 0.0)
    return reader.taken


class _Reader:
    """Takes judgments into a run, one by one."""

    def __init__(self, run: Run) -> None:
        self.taken = CopiedAnnotations()
        self._run = run
        self._splits = {normalised(prompt.messages): prompt.split for prompt in run.prompts}

    def take(self, judgment: Judgment, folder: Path, files: RunFiles) -> None:
        """Copy a judgment, and its comparison where the run has it not, or count the judgment out."""
        reason = self._place(judgment, folder, files)
        if reason is not None:
            self._run.exclude(STAGE, judgment.id, reason, str(folder))
            return
        self._run.judgments.append(judgment)
        self.taken.judgments.add(judgment.id)
        self.taken.annotators.add(annotator_of(judgment))
        self.taken.sources.add(judgment.labeler)

    def _place(self, judgment: Judgment, folder: Path, files: RunFiles) -> str | None:
        """See to it that the run has the judgment's comparison, or return why the judgment cannot be used."""
        comparison_id = judgment.comparison_id
        if judgment.labeler in MACHINES:
            return "not a person's judgment"
        theirs = files.find_comparison(comparison_id)
        if comparison_id in self._run.comparisons:
            if theirs is not None:
                _require_same(self._run.comparisons.get(comparison_id), theirs, folder)
            self.taken.matched.add(comparison_id)
            return None
        if theirs is None:
            return "its comparison is neither in the run nor in its folder"
        prompt = self._with_split(theirs.prompt)
        if prompt.split == "test":
            return "its prompt is held out for the evaluation"
        self._run.added_comparisons.append(theirs.model_copy(update={"prompt": prompt}))
        self.taken.added.add(comparison_id)
        return None

    def _with_split(self, prompt: Prompt) -> Prompt:
        """Return the prompt with the split of the run's prompt in the same words, else as the run assigns
        them.
        """
        split = self._splits.get(normalised(prompt.messages))
        if split is not None:
            return prompt.model_copy(update={"split": split})
        return assign_split(prompt, self._run.config.split.shares())


def _require_same(ours: Comparison, theirs: Comparison, folder: Path) -> None:
    if (ours.response_a, ours.response_b) != (theirs.response_a, theirs.response_b):
        raise DataError(
            f"the comparison {ours.id} has other answers here than in the run",
            where=str(folder / "comparisons.jsonl"),
            accepted="ids made from the prompt and both answers",
        )


def _require_known_sources(config: LabelConfig, sources: set[str]) -> None:
    known = sorted(sources | MACHINES)
    named = {name: "label.weights" for name in config.weights}
    named |= {name: "label.rules" for rule in rules_of(config) for name in rule.sources}
    for name, where in named.items():
        if name not in known:
            raise ConfigError(
                f"nobody judged for the source {name!r}", where=where, accepted=", ".join(known)
            )
