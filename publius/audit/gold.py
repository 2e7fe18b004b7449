"""Gold labels of an audit, from any file that `publius import labels` reads or a folder that it wrote."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from core.digests import file_digest
from core.errors import DataError
from core.notices import note, warn
from core.store.files import is_there
from evaluation.judges.certificate import GoldSource
from evaluation.judges.gold import Gold, GoldPair, gold_pairs
from labelers.crowd.methods import Aggregation
from labelers.formats.repeated import RepeatedAnswers
from publius.labels.importing import LabelsRequest, import_labels, unwanted_in_words
from publius.runs.judgment_folder import annotations_digest
from publius.runs.reader import open_judgments
from publius.sources.rows import DataSource, with_split

_FOLDER = "labels"
"""Format of a folder of imported or collected labels."""


def read_gold(
    sources: Sequence[str], method: Aggregation = "graded"
) -> tuple[tuple[GoldPair, ...], tuple[GoldSource, ...]]:
    """Return the gold pairs of all sources, in order of id, and what became of each source.

    Args:
        sources: files, data sets, or folders with `judgments.jsonl`.
        method: how the votes of several annotators are put together.

    Raises:
        DataError: a source cannot be read, or none of them has a gold label.
    """
    pairs: dict[str, GoldPair] = {}
    described = []
    for source in sources:
        is_folder = _is_folder(Path(source))
        gold, about = _from_folder(Path(source), method) if is_folder else _from_file(source, method)
        repeated = [pair for pair in gold.pairs if pair.comparison.id in pairs]
        excluded = Counter(about.excluded) + Counter(gold.excluded)
        excluded["in an earlier source too"] += len(repeated)
        pairs |= {pair.comparison.id: pair for pair in gold.pairs if pair.comparison.id not in pairs}
        described.append(about.model_copy(update={"excluded": dict(+excluded)}))
    texts = RepeatedAnswers()
    for pair in pairs.values():
        texts.add(pair.comparison.prompt.id, (pair.comparison.response_a, pair.comparison.response_b))
    if line := texts.line():
        warn(f"gold: {line}")
    if not pairs:
        reasons = ", ".join(f"{reason}: {n:,}" for about in described for reason, n in about.excluded.items())
        raise DataError(
            f"no comparison has a gold label ({reasons or 'no comparisons'})",
            where=", ".join(sources),
            accepted="labels in a form of docs/human-labels.md, one answer of each pair preferred",
        )
    return tuple(sorted(pairs.values(), key=lambda pair: pair.comparison.id)), tuple(described)


def _is_folder(path: Path) -> bool:
    return is_there(path / "judgments.jsonl")


def _from_folder(path: Path, method: Aggregation) -> tuple[Gold, GoldSource]:
    """Return the gold of a label folder or a run; judgments of automatic labelers are ignored."""
    gold = _gold(path, method)
    digest = annotations_digest(path)
    return gold, GoldSource(name=path.name, digest=digest, format=_FOLDER, comparisons=len(gold.pairs))


def _from_file(name: str, method: Aggregation) -> tuple[Gold, GoldSource]:
    """Return the gold of a file, which is imported into a temporary folder."""
    source = DataSource(name)
    with tempfile.TemporaryDirectory(prefix="publius-gold-") as temporary:
        folder = Path(temporary) / _FOLDER
        summary = import_labels(LabelsRequest(source, folder)).as_json()
        gold, content = _gold(folder, method), annotations_digest(folder)
    path = with_split(source).path
    if summary["passed_over"]:
        note(f"gold {path.name}: ignored columns: {', '.join(summary['passed_over'])}")
    for line in unwanted_in_words(summary):
        warn(f"gold {path.name}: {line} if the file is imported first (publius import labels)")
    dropped = {entry["reason"]: entry["count"] for entry in summary["dropped_for"]}
    return gold, GoldSource(
        name=path.name,
        digest=file_digest(path) if path.is_file() else content,
        format=summary["format"],
        comparisons=len(gold.pairs),
        excluded=dropped,
    )


def _gold(folder: Path, method: Aggregation) -> Gold:
    with open_judgments(folder) as files:
        return gold_pairs(files.all_comparisons(), files.judgments, method)
