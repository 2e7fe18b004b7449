"""An edited principle is named with what measures it, or with why nothing does."""

from __future__ import annotations

import pytest

from constitution.checks.kinds import MaxWords
from constitution.diff import compare_constitutions
from constitution.schema import Constitution, Principle
from publius.views.report.comparing.edited import edited_principles

SHORT = Principle(id="short", text="Short.", check=MaxWords(kind="max_words", value=3))
SURE = Principle(id="sure", text="The reply says how sure it is.")
OLD = Constitution(name="old", principles=(SHORT, SURE, Principle(id="gone", text="Gone.")))
NEW = Constitution(
    name="new",
    principles=(
        SHORT.model_copy(update={"check": MaxWords(kind="max_words", value=4)}),
        SURE.model_copy(update={"text": "The reply is never too sure."}),
    ),
)


@pytest.mark.parametrize(
    ("measures", "short", "sure"),
    [
        (
            {"words", "compliance", "compliance.short"},
            "measured by its machine check",
            "not measured: it has no machine check, and no judge rated it "
            "(check, or models.judge and publius eval)",
        ),
        (
            {"compliance.short", "judged.short", "judged.sure"},
            "measured by its machine check and short, by the judge",
            "measured by sure, by the judge",
        ),
        (
            {"words"},
            "not measured: its machine check was not evaluated (publius eval)",
            "not measured: it has no machine check, and no judge rated it "
            "(check, or models.judge and publius eval)",
        ),
        (
            set(),
            "not measured: no run was evaluated (publius eval)",
            "not measured: no run was evaluated (publius eval)",
        ),
    ],
)
def test_edited_principles_are_named_with_what_measures_them(measures: set[str], short: str, sure: str):
    changes = compare_constitutions(OLD, NEW).changes
    found = {one.principle: one.line for one in edited_principles(changes, NEW, measures)}
    assert found == {"short": short, "sure": sure}  # the removed one has nothing to measure
