"""Application of corrections to judgments, and their files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from constitution.schema import Constitution, Principle
from core.errors import ConfigError, DataError
from labelers.config import LabelConfig
from labelers.correction.correction import (
    CorrectionThreshold,
    Corrector,
    LabelerCorrection,
    corrector_of,
    log_odds_of_label,
    read_correction,
    require_same_labeler,
)
from labelers.correction.fitting import fit_correction
from labelers.modes.reading import logistic
from tests.labelers.correction.gold import LABELER, comparison, judged, judgment, options


@pytest.fixture(scope="module")
def fitted() -> LabelerCorrection:
    return fit_correction(judged(100), options())


def correction(fitted: LabelerCorrection, abstain_below: float | None = None, **values) -> LabelerCorrection:
    threshold = None
    if abstain_below is not None:
        threshold = CorrectionThreshold(
            log_odds=abstain_below, max_error=0.2, confidence=0.95, abstained=0.3, error=0.1
        )
    return fitted.model_copy(update={"scales": {}, "length": 0.0, "threshold": threshold, **values})


def test_log_odds_are_scaled_and_moved_by_the_lengths(fitted: LabelerCorrection):
    found = correction(fitted, scale=0.5, length=-2.0, scales={"short": 0.25})
    longer = comparison(0, a=20, b=10)
    plain = found.log_odds(judgment(longer, logistic(3.0)), longer)
    assert plain == pytest.approx(1.5 - 2 * math.log(2))
    assert found.log_odds(judgment(longer, logistic(3.0), "short"), longer) == pytest.approx(
        0.75 - 2 * math.log(2)
    )


def test_swapping_the_answers_maps_the_probability_to_its_complement(fitted: LabelerCorrection):
    found = Corrector(correction(fitted, scale=0.4, length=-1.0))
    one, two = comparison(0, a=30, b=12), comparison(0, a=12, b=30)
    (p,) = found.corrected(one, [judgment(one, 0.8)])
    (q,) = found.corrected(two, [judgment(two, 0.2)])
    assert p.p_a is not None
    assert q.p_a == pytest.approx(1 - p.p_a)


def test_judgments_of_others_are_not_changed(fitted: LabelerCorrection):
    one = comparison(0)
    others = [judgment(one, 0.95, labeler="check"), judgment(one, 1.0, labeler="people"), judgment(one, None)]
    assert Corrector(correction(fitted, scale=0.1)).corrected(one, others) == others


def test_corrected_judgment_keeps_its_id_and_counts(fitted: LabelerCorrection):
    corrector = Corrector(correction(fitted, scale=0.5, length=-10.0))
    longer = comparison(0, a=20, b=10)
    raw = judgment(longer, 0.9)
    (found,) = corrector.corrected(longer, [raw])
    assert (found.id, found.verdict) == (raw.id, "b")
    assert corrector.counts == {"corrected": 1, "turned": 1}


def test_doubtful_judgment_is_not_used(fitted: LabelerCorrection):
    corrector = Corrector(correction(fitted, abstain_below=1.0, scale=1.0))
    one = comparison(0)
    doubtful, sure = judgment(one, logistic(0.9)), judgment(one, logistic(-1.1), "short")
    kept = corrector.corrected(one, [doubtful, sure])
    assert [(j.verdict, j.p_a is None) for j in kept] == [("skip", True), ("b", False)]
    assert corrector.counts["abstained"] == 1
    assert corrector.abstained_on(one, [doubtful])
    assert not corrector.abstained_on(one, [doubtful, sure])
    assert not corrector.abstained_on(one, [])


def test_file_is_read_as_it_was_written(tmp_path: Path):
    found = fit_correction(judged(400), options(max_error=0.35))
    path = tmp_path / "correction.json"
    path.write_text(found.model_dump_json(exclude_none=True, indent=2))
    assert read_correction(path) == found


@pytest.mark.parametrize("text", ["{", '{"correction_version": 2}', "[]"])
def test_file_that_is_not_a_correction_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "correction.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"correction\.json: .*accepted: a file that `publius audit correct"):
        read_correction(path)


def test_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.json"):
        read_correction(tmp_path / "none.json")


def test_correction_of_another_labeler_is_refused(fitted: LabelerCorrection):
    require_same_labeler(fitted, LABELER, "f.json")
    other = LABELER.model_copy(update={"digest": "e" * 32, "mode": "pointwise"})
    with pytest.raises(
        ConfigError, match=r"f\.json: .*another labeler: label\.mode choice \(it is pointwise\)"
    ):
        require_same_labeler(fitted, other, "f.json")


def test_principles_of_another_constitution_have_the_labelers_temperature(
    tmp_path: Path, fitted: LabelerCorrection
):
    own = Constitution(name="t", principles=(Principle(id="kind", text="The reply is kind."),))
    path = tmp_path / "c.json"
    config = LabelConfig(correction=path)
    for digest, scales in ((own.digest, {"kind": 2.0}), ("0" * 64, {})):
        written = fitted.model_copy(update={"constitution": digest, "scales": {"kind": 2.0}})
        path.write_text(written.to_line())
        found = corrector_of(config, own).correction
        assert found is not None
        assert found.scales == scales


def test_without_a_file_nothing_changes():
    one = comparison(0)
    own = Constitution(name="t", principles=(Principle(id="kind", text="The reply is kind."),))
    corrector = corrector_of(LabelConfig(), own)
    assert corrector.corrected(one, [judgment(one, 0.7)]) == [judgment(one, 0.7)]
    assert not corrector.abstained_on(one, [judgment(one, 0.7)])


@pytest.mark.parametrize("log_odds", [-8.0, 0.0, 0.3, 20.0])
def test_log_odds_of_a_probability(log_odds: float):
    assert log_odds_of_label(logistic(log_odds)) == pytest.approx(log_odds, rel=1e-6)
