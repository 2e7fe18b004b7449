"""Names of annotators for tables: as they were written, without the source where that says nothing more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from core.records import Judgment
from core.text.names import folded_name
from labelers.crowd.votes import MACHINES, annotator_of


def written_names(judgments: Iterable[Judgment]) -> dict[str, str]:
    """Return the name to show for each annotator, by the name that votes have (`annotator_of`).

    A person's name is the form in which it is written most often. The source stands before it only if people
    of two sources have the name, or a source has it. Unnamed annotators keep the name that votes have.
    """
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    sources = dict[str, str]()
    shown = dict[str, str]()
    for judgment in judgments:
        key, name = annotator_of(judgment), judgment.annotator
        if not name or name.startswith(judgment.comparison_id):
            shown[key] = key
        else:
            forms[key][" ".join(name.split())] += 1
            sources[key] = judgment.labeler
    for key, written in forms.items():
        shown[key] = min(written, key=lambda form: (-written[form], form))
    taken = Counter(folded_name(name) for name in shown.values()) + Counter(map(folded_name, MACHINES))
    for key, source in sources.items():
        if taken[folded_name(shown[key])] > 1:
            shown[key] = f"{source}/{shown[key]}"
    return shown
