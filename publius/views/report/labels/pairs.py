"""What the statistics of labels need of a run's comparisons and judgments, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from constitution.checks.evaluate import count_words
from core.records import Judgment, Preference
from labelers.crowd.votes import current_judgments
from publius.views.report.reading.sources import RunSource


@dataclass(frozen=True, slots=True)
class PairLengths:
    """The prompt of a comparison and the lengths of its answers."""

    prompt: str
    """Id of the prompt."""
    words_a: int
    words_b: int

    @property
    def longer(self) -> Literal["a", "b"] | None:
        """The longer answer; None if both are equally long."""
        if self.words_a == self.words_b:
            return None
        return "a" if self.words_a > self.words_b else "b"

    @property
    def ratio(self) -> float | None:
        """Words of the longer answer over those of the shorter; None if one answer has no words."""
        fewer, more = sorted((self.words_a, self.words_b))
        return more / fewer if fewer else None


@dataclass(frozen=True)
class LabelRecords:
    """The comparisons, judgments and preferences of a run."""

    lengths: Mapping[str, PairLengths]
    """By the comparison's id."""
    judgments: Sequence[Judgment]
    """All that are not superseded."""
    every_judgment: Mapping[str, Judgment]
    preferences: Sequence[Preference]

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt of each comparison."""
        return {name: pair.prompt for name, pair in self.lengths.items()}


def read_label_records(run: RunSource) -> LabelRecords:
    """Return the comparisons, judgments and preferences of a run."""
    lengths = {
        one.id: PairLengths(one.prompt.id, count_words(one.response_a), count_words(one.response_b))
        for one in run.reader.all_comparisons()
    }
    every = {judgment.id: judgment for judgment in run.reader.judgments}
    return LabelRecords(lengths, current_judgments(every.values()), every, tuple(run.reader.preferences))
