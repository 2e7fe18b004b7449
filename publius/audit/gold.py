"""Gold labels of an audit, from any file that `publius import labels` reads or a folder that it wrote."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from core.digests import file_digest
from core.errors import DataError
from core.store.files import is_there
from evaluation.judges.certificate import GoldSource
from evaluation.judges.gold import Gold, GoldPair, gold_pairs
from publius.labels.importing import LabelsRequest, import_labels
from publius.runs.judgment_folder import annotations_digest
from publius.runs.reader import open_judgments
from publius.sources.rows import DataSource, with_split

_FOLDER = "labels"
"""Format of a folder of imported or collected labels."""


def read_gold(sources: Sequence[str]) -> tuple[tuple[GoldPair, ...], tuple[GoldSource, ...]]:
    """Return the gold pairs of all sources, in order of id, and what became of each source.

    Args:
        sources: files, data sets, or folders with `judgments.jsonl`.

    Raises:
        DataError: a source cannot be read, or none of them has a gold label.
    """
    pairs: dict[str, GoldPair] = {}
    described = []
    for source in sources:
        gold, about = _from_folder(Path(source)) if _is_folder(Path(source)) else _from_file(source)
        repeated = [pair for pair in gold.pairs if pair.comparison.id in pairs]
        excluded = Counter(about.excluded) + Counter(gold.excluded)
        excluded["in an earlier source too"] += len(repeated)
        pairs |= {pair.comparison.id: pair for pair in gold.pairs if pair.comparison.id not in pairs}
        described.append(about.model_copy(update={"excluded": dict(+excluded)}))
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


def _from_folder(path: Path) -> tuple[Gold, GoldSource]:
    """Return the gold of a label folder or a run; judgments of automatic labelers are ignored."""
    gold = _gold(path)
    digest = annotations_digest(path)
    return gold, GoldSource(name=path.name, digest=digest, format=_FOLDER, comparisons=len(gold.pairs))


def _from_file(name: str) -> tuple[Gold, GoldSource]:
    """Return the gold of a file, which is imported into a temporary folder."""
    source = DataSource(name)
    with tempfile.TemporaryDirectory(prefix="publius-gold-") as temporary:
        folder = Path(temporary) / _FOLDER
        summary = import_labels(LabelsRequest(source, folder)).as_json()
        gold, content = _gold(folder), annotations_digest(folder)
    path = with_split(source).path
    dropped = {entry["reason"]: entry["count"] for entry in summary["dropped_for"]}
    return gold, GoldSource(
        name=path.name,
        digest=file_digest(path) if path.is_file() else content,
        format=summary["format"],
        comparisons=len(gold.pairs),
        excluded=dropped,
    )


def _gold(folder: Path) -> Gold:
    with open_judgments(folder) as files:
        return gold_pairs(files.all_comparisons(), files.judgments)
