"""Import of human judgments into a run.

Judgments are matched to the run's comparisons by id. Comparisons that the run does not have are added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError, DataError
from core.records import Comparison, Judgment, Prompt
from engines.cached import RequestCounts
from labelers.config import LabelConfig
from labelers.crowd.votes import MACHINES, NO_HUMAN_JUDGMENT, annotator_of
from labelers.mixing import rules_of
from prompts.sources import assign_split, normalised
from publius.runs.folder import Run
from publius.runs.pairs.origins import LABEL_FILES, label_file
from publius.runs.reader import open_judgments
from publius.runs.records import RunFiles

STAGE = "people"
"""Name of this step in the manifest and in exclusions."""


@dataclass
class CopiedAnnotations:
    """Ids of everything imported from the folders in `label.humans`."""

    matched: set[str] = field(default_factory=set)
    """Comparisons of the run itself that have human judgments."""
    added: set[str] = field(default_factory=set)
    """Comparisons that were imported with the judgments."""
    annotators: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    judgments: set[str] = field(default_factory=set)
    """Judgments; one that is in two folders counts once."""

    def counts(self) -> dict[str, int]:
        """Return the counts for the manifest."""
        found = {
            "judgments": self.judgments,
            "matched": self.matched,
            "added": self.added,
            "annotators": self.annotators,
        }
        return {name: len(ids) for name, ids in found.items()}


def copy_annotations(run: Run) -> CopiedAnnotations:
    """Copy the judgments of all label folders into the run, with the comparisons that the run does not have.

    The prompt of an added comparison gets a split in the same way as the run's own prompts. Judgments on
    held-out prompts are excluded, so nothing is learned from them. Repeating the import changes nothing.

    Raises:
        DataError: if a folder has no judgments, or has different answers for a comparison of the run.
        ConfigError: if `label.weights` or a rule names a source without judgments.
    """
    reader = _Reader(run)
    label_files = []
    for folder in run.config.label.humans:
        before = reader.votes
        with open_judgments(folder) as files:
            for judgment in files.judgments:
                reader.take(judgment, folder, files)
            for comparison in files.comparisons:
                if comparison.id not in run.comparisons and not files.judgments.has_children(comparison.id):
                    run.exclude(STAGE, comparison.id, NO_HUMAN_JUDGMENT, str(folder))
        label_files.append(label_file(folder, reader.votes - before))
    _require_known_sources(run.config.label, reader.taken.sources)
    run.added_comparisons.sync()
    run.judgments.sync()
    run.manifest[STAGE] = reader.taken.counts()
    run.record_stage(STAGE, len(reader.taken.judgments), RequestCounts(), 0.0)
    run.note_result(STAGE, LABEL_FILES, label_files)
    return reader.taken


class _Reader:
    """Imports judgments into a run, one at a time."""

    def __init__(self, run: Run) -> None:
        self.taken = CopiedAnnotations()
        self.votes = 0
        """Judgments that were copied; one that is in two folders counts twice."""
        self._run = run
        self._splits = {normalised(prompt.messages): prompt.split for prompt in run.prompts}

    def take(self, judgment: Judgment, folder: Path, files: RunFiles) -> None:
        """Copy a judgment, and its comparison if the run does not have it, or exclude the judgment."""
        reason = self._place(judgment, folder, files)
        if reason is not None:
            self._run.exclude(STAGE, judgment.id, reason, str(folder))
            return
        self._run.judgments.append(judgment)
        self.votes += 1
        self.taken.judgments.add(judgment.id)
        self.taken.annotators.add(annotator_of(judgment))
        self.taken.sources.add(judgment.labeler)

    def _place(self, judgment: Judgment, folder: Path, files: RunFiles) -> str | None:
        """Ensure that the run has the judgment's comparison, or return why the judgment is excluded."""
        comparison_id = judgment.comparison_id
        if judgment.labeler in MACHINES:
            return "not a human judgment"
        theirs = files.find_comparison(comparison_id)
        if comparison_id in self._run.comparisons:
            if theirs is not None:
                _require_same(self._run.comparisons.get(comparison_id), theirs, folder)
            self.taken.matched.add(comparison_id)
            return None
        if theirs is None:
            return "comparison not found in the run or in the label folder"
        prompt = self._with_split(theirs.prompt)
        if prompt.split == "test":
            return "prompt is held out for evaluation"
        if self._run.config.choose and self._is_known(prompt) and self._run.is_validation(prompt):
            return "prompt is held out to choose a checkpoint by"
        self._run.added_comparisons.append(theirs.model_copy(update={"prompt": prompt}))
        self.taken.added.add(comparison_id)
        return None

    def _is_known(self, prompt: Prompt) -> bool:
        return normalised(prompt.messages) in self._splits

    def _with_split(self, prompt: Prompt) -> Prompt:
        """Return the prompt with the split of the run's prompt of the same text, or else with a new split."""
        split = self._splits.get(normalised(prompt.messages))
        if split is not None:
            return prompt.model_copy(update={"split": split})
        return assign_split(prompt, self._run.config.split.shares())


def _require_same(ours: Comparison, theirs: Comparison, folder: Path) -> None:
    if (ours.response_a, ours.response_b) != (theirs.response_a, theirs.response_b):
        raise DataError(
            f"the answers of comparison {ours.id} differ from the run's",
            where=str(folder / "comparisons.jsonl"),
            accepted="comparison ids that Publius derived from the prompt and both answers",
        )


def _require_known_sources(config: LabelConfig, sources: set[str]) -> None:
    known = sorted(sources | MACHINES)
    named = {name: "label.weights" for name in config.weights}
    named |= {name: "label.rules" for rule in rules_of(config) for name in rule.sources}
    for name, where in named.items():
        if name not in known:
            raise ConfigError(
                f"no judgments from the source {name!r}", where=where, accepted=", ".join(known)
            )
