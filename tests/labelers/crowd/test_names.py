"""Names of annotators as tables show them."""

from __future__ import annotations

from labelers.crowd.names import written_names
from tests.labelers.crowd.crowds import judged


def test_a_name_is_shown_as_it_is_mostly_written():
    said = [judged(f"c{n}", "a", who) for n, who in enumerate(("Okafor", "okafor", "Okafor", "van  Dyk"))]
    assert written_names(said) == {"crowd/okafor": "Okafor", "crowd/van dyk": "van Dyk"}


def test_the_source_is_shown_where_two_have_the_name():
    said = [judged("c", "a", "Okafor"), judged("c", "a", "okafor", labeler="page"), judged("c", "b", "Stein")]
    found = written_names(said)
    assert found == {"crowd/okafor": "crowd/Okafor", "page/okafor": "page/okafor", "crowd/stein": "Stein"}
    machine = judged("c", "a", labeler="ai", annotator=None, p_a=0.9)
    assert written_names([machine, judged("c", "a", "AI")]) == {"ai": "ai", "crowd/ai": "crowd/AI"}


def test_the_unnamed_keep_the_name_of_votes():
    said = [judged("c", "a", annotator=None), judged("c", "a", "c:1")]
    assert written_names(said) == {"crowd": "crowd", "crowd/c:1": "crowd/c:1"}
