"""Inter-annotator agreement, annotator reliability and position bias in folders of judgments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.records import Judgment
from labelers.crowd.agreement import (
    Agreement,
    PairAgreement,
    Prompts,
    annotator_agreement,
    pair_agreements,
)
from labelers.crowd.reliability import Reliability, graded_dawid_skene
from labelers.crowd.votes import current_judgments, votes_of
from labelers.position import PositionBias, position_biases
from publius.runs.reader import open_judgments


@dataclass(frozen=True)
class AgreementReport:
    """The result of `publius agreement`."""

    judgments: int
    taken_back: int
    without_choice: dict[str, int]
    """Number of current judgments that are not votes, by verdict."""
    overall: Agreement | None
    by_principle: dict[str, Agreement]
    by_dimension: dict[str, Agreement]
    """Like `by_principle`: only those for which two annotators judged the same comparison."""
    pairs: list[PairAgreement]
    annotators: tuple[Reliability, ...]
    positions: list[PositionBias]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        content: dict[str, Any] = _as_json(vars(self))
        return content


def read_report(folders: Sequence[Path]) -> AgreementReport:
    """Return the agreement among the judgments of all folders together.

    Raises:
        DataError: a folder has no judgments, or holds an empty file of them.
    """
    found: dict[str, Judgment] = {}
    prompts: dict[str, str] = {}
    for folder in folders:
        with open_judgments(folder) as files:
            found |= {judgment.id: judgment for judgment in files.judgments}
            prompts |= {comparison.id: comparison.prompt.id for comparison in files.all_comparisons()}
    if not found:
        where = ", ".join(map(str, folders))
        raise DataError("no judgments found", where=where, accepted="judgments.jsonl with judgments")
    return agreement_report(found.values(), prompts)


def agreement_report(judgments: Collection[Judgment], prompts: Prompts) -> AgreementReport:
    """Return the agreement among judgments.

    Args:
        judgments: any judgments, superseded ones too.
        prompts: the prompt of each comparison.
    """
    current = current_judgments(judgments)
    votes = votes_of(current)
    return AgreementReport(
        judgments=len(judgments),
        taken_back=len(judgments) - len(current),
        without_choice=dict(
            sorted(Counter(j.verdict for j in current if j.verdict in ("skip", "unparsed")).items())
        ),
        overall=annotator_agreement(votes, prompts),
        by_principle=_by(current, prompts, lambda judgment: judgment.principle_id),
        by_dimension=_by(current, prompts, lambda judgment: judgment.dimension),
        pairs=pair_agreements(votes, prompts),
        annotators=graded_dawid_skene(votes).annotators,
        positions=position_biases(current),
    )


def _by(
    judgments: Iterable[Judgment], prompts: Prompts, key: Callable[[Judgment], str | None]
) -> dict[str, Agreement]:
    groups: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        name = key(judgment)
        if name is not None:
            groups.setdefault(name, []).append(judgment)
    found = {name: annotator_agreement(votes_of(group), prompts) for name, group in sorted(groups.items())}
    return {name: one for name, one in found.items() if one is not None}


def _as_json(value: Any) -> Any:
    """Return records, tuples and mappings as JSON-able values."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, dict):
        return {name: _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if hasattr(value, "__slots__"):
        return {name: _as_json(getattr(value, name)) for name in value.__slots__}
    return value
