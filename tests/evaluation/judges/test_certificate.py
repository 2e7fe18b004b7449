"""Certificates: found by the labeler's digest, written and read whole, and what speaks against a labeler."""

from __future__ import annotations

from pathlib import Path

from core.records import Metric
from evaluation.judges.certificate import (
    CERTIFICATE,
    AuditedLabeler,
    Certificate,
    Cost,
    GoldSource,
    LabelerIdentity,
    find_audit,
    read_certificate,
)
from evaluation.judges.report import audit_report
from evaluation.judges.verdict import known_problems, problems_of, recommended_of

LABELER = LabelerIdentity(model="m", model_identity="i", mode="choice", settings={}, templates="t")
POINTWISE = LABELER.model_copy(update={"mode": "pointwise"})
GOLD = GoldSource(name="gold.jsonl", digest="d", format="hhh", comparisons=9)


def share(name: str, value: float, low: float = 0.0, high: float = 1.0, n: int = 100) -> Metric:
    return Metric(name=name, value=value, low=low, high=high, n=n, unit="share")


def certificate(*audited: AuditedLabeler, **fields: object) -> Certificate:
    return Certificate.model_validate(
        {
            "publius": "0",
            "created": "2026-01-01",
            "seed": 0,
            "constitution": "c",
            "constitution_digest": "d" * 64,
            "audited": audited or (AuditedLabeler(labeler=LABELER),),
            **fields,
        }
    )


def write(project: Path, name: str, one: Certificate) -> None:
    folder = project / "audits" / name
    folder.mkdir(parents=True)
    (folder / CERTIFICATE).write_text(one.model_dump_json(exclude_none=True))


def test_digest_changes_with_everything_that_is_asked_and_not_with_names():
    for change in (
        {"model_identity": "j"},
        {"mode": "pointwise"},
        {"settings": {"min_answer_mass": 0.1}},
        {"templates": "u"},
    ):
        assert LABELER.model_copy(update=change).digest != LABELER.digest
    assert LABELER.model_copy(update={"model": "n", "templates_from": "mine"}).digest == LABELER.digest


def test_certificate_survives_its_file(tmp_path: Path):
    one = certificate(AuditedLabeler(labeler=LABELER, metrics=(share("accuracy", 0.7),)), gold=(GOLD,))
    write(tmp_path, "x", one)
    assert read_certificate(tmp_path / "audits" / "x" / CERTIFICATE) == one


def test_run_finds_the_audit_of_its_labeler_only(tmp_path: Path):
    assert find_audit(tmp_path, LABELER.digest) is None
    write(tmp_path, "x", certificate())
    assert find_audit(tmp_path, POINTWISE.digest) is None
    found = find_audit(tmp_path, LABELER.digest)
    assert found is not None
    assert found.audit.labeler == LABELER


def test_audit_with_gold_wins_over_a_newer_one_without(tmp_path: Path):
    write(tmp_path, "gold", certificate(gold=(GOLD,)))
    write(tmp_path, "plain", certificate(created="2026-02-01"))
    found = find_audit(tmp_path, LABELER.digest)
    assert found is not None
    assert Path(found.folder).name == "gold"


def test_audit_under_the_same_wording_wins_over_a_newer_one(tmp_path: Path):
    one = certificate(gold=(GOLD,))
    write(tmp_path, "own", one)
    write(
        tmp_path, "other", one.model_copy(update={"constitution_digest": "0" * 64, "created": "2027-01-01"})
    )
    found = find_audit(tmp_path, LABELER.digest, one.constitution_digest)
    assert found is not None
    assert Path(found.folder).name == "own"
    assert found.summary()["constitution_digest"] == one.constitution_digest
    newest = find_audit(tmp_path, LABELER.digest)
    assert newest is not None
    assert Path(newest.folder).name == "other"


def test_damaged_or_newer_certificate_is_no_certificate(tmp_path: Path):
    for name, text in (("broken", "{"), ("newer", '{"certificate_version": 2}')):
        folder = tmp_path / "audits" / name
        folder.mkdir(parents=True)
        (folder / CERTIFICATE).write_text(text)
    assert find_audit(tmp_path, LABELER.digest) is None


def test_problems_name_chance_baseline_and_requirement():
    metrics = [
        share("accuracy", 0.52, 0.45, 0.59),
        share("baseline.longest", 0.6),
        Metric(name="lead.longest", value=-0.08, n=100, unit="share"),
    ]
    found = problems_of(metrics, comparisons=100, min_accuracy=0.6)
    assert len(found) == 3
    assert "below the required 60.0%" in found[0]
    assert "no better than chance" in found[1]
    assert "longest, 60.0% against 52.0%" in found[2]


def test_good_labeler_has_no_problems():
    metrics = [share("accuracy", 0.8, 0.7, 0.9), Metric(name="lead.first", value=0.3, n=100)]
    assert problems_of(metrics, comparisons=105) == ()
    assert problems_of(metrics, comparisons=200) == ("50% of the comparisons have no label",)
    assert problems_of([], comparisons=1) == ("no comparison has a label",)


def test_labeler_whose_interval_is_below_chance_is_reversed():
    assert "reversed" in problems_of([share("accuracy", 0.0, 0.0, 0.204, n=15)], comparisons=15)[0]
    touching = problems_of([share("accuracy", 0.3, 0.1, 0.5, n=15)], comparisons=15)
    assert touching == ("accuracy 30.0% (10.0% to 50.0%) is no better than chance",)
    ties = problems_of([share("accuracy", 0.5, 0.26, 0.74, n=15)], comparisons=15)
    assert "no better than chance" in ties[0]


def test_few_comparisons_are_told_from_chance():
    few = problems_of([share("accuracy", 0.7, 0.48, 0.86, n=20)], comparisons=20)
    assert few == ("accuracy 70.0% (48.0% to 86.0%) cannot be told from chance on 20 comparisons",)
    assert problems_of([share("accuracy", 1.0, 0.51, 1.0, n=4)], comparisons=4) == ()
    touching = problems_of([share("accuracy", 0.6, 0.5, 0.7, n=90)], comparisons=90)
    assert touching == ("accuracy 60.0% (50.0% to 70.0%) is no better than chance",)


def test_labeler_that_is_right_where_the_shortest_answer_is_has_not_been_told_from_it():
    metrics = [
        share("accuracy", 1.0, 0.8, 1.0, n=15),
        share("baseline.shortest", 1.0, 0.8, 1.0, n=15),
        share("lead.shortest", 0.0, 0.0, 0.0, n=15),
        share("baseline.first", 0.5, 0.2, 0.7, n=15),
        share("lead.first", 0.5, 0.2, 0.7, n=15),
    ]
    (found,) = problems_of(metrics, comparisons=15)
    expected = "this gold cannot tell the labeler (100.0%) from a rule that takes the shorter reply"
    assert found == f"{expected} (right in 100.0%)"


def test_lead_that_may_be_none_counts_over_baselines_that_are_better_than_chance():
    def with_baseline(low: float, lead: float) -> tuple[str, ...]:
        metrics = [
            share("accuracy", 0.8, 0.7, 0.9),
            share("baseline.longest", 0.7, low, 0.8),
            share("lead.longest", 0.1, lead, 0.2),
        ]
        return problems_of(metrics, comparisons=100)

    assert "takes the longer reply" in with_baseline(0.6, 0.0)[0]
    assert with_baseline(0.6, 0.01) == ()
    assert with_baseline(0.5, -0.1) == ()


def test_labeler_that_follows_the_place_is_not_cleared_by_its_accuracy():
    metrics = [share("accuracy", 1.0, 0.8, 1.0), share("first slot", 1.0, 0.9, 1.0)]
    (found,) = problems_of([*metrics, share("swap inconsistency", 1.0, 0.9, 1.0)], comparisons=100)
    assert found.startswith("swapping the answers changes the preferred one in 100.0%")
    assert "by its margin" in found
    assert problems_of([*metrics, share("swap inconsistency", 0.5)], comparisons=100)
    assert problems_of([*metrics, share("swap inconsistency", 0.49)], comparisons=100) == ()


def test_problems_without_gold():
    metrics = [share("planted", 0.55, 0.4, 0.7), share("swap inconsistency", 0.8)]
    found = known_problems(metrics, unreliable=("short",))
    assert ["planted" in found[0], "swapping" in found[1], "short" in found[2]] == [True] * 3
    assert known_problems([share("planted", 0.9, 0.8, 1.0)], ()) == ()


def test_lowest_nll_is_recommended_and_then_the_cheaper():
    def one(identity: LabelerIdentity, nll: float, tokens: int) -> AuditedLabeler:
        metrics = (share("accuracy", 0.6), Metric(name="nll corrected", value=nll, n=9))
        cost = Cost(requests=1, prompt_tokens=tokens, asked=1, comparisons=1)
        return AuditedLabeler(labeler=identity, metrics=metrics, cost=cost)

    refused = AuditedLabeler(labeler=LABELER, refused="it thinks")
    assert recommended_of([one(LABELER, 0.68, 9), one(POINTWISE, 0.66, 99)]) == one(POINTWISE, 0.66, 99)
    assert recommended_of([one(LABELER, 0.66, 99), one(POINTWISE, 0.66, 9)]) == one(POINTWISE, 0.66, 9)
    assert recommended_of([refused]) is None


def test_report_escapes_names_and_shows_intervals():
    hostile = LABELER.model_copy(update={"model": "a|b`<x>"})
    one = AuditedLabeler(
        labeler=hostile, metrics=(share("accuracy", 0.614, 0.52, 0.709),), problems=("x | y",)
    )
    text = audit_report(certificate(one, gold=(GOLD.model_copy(update={"name": "<b>|"}),)))
    assert "61.4 % (52.0 to 70.9)" in text
    assert "x \\| y" in text
    assert "| accuracy | 61.4" in text
    assert "`a\\|b'<x>`" in text


def test_report_says_what_became_of_judgments_and_what_could_not_be_measured():
    found = {"verdict a": 7, "verdict b": 2, "problem low mass": 1, "no label: abstained": 3}
    one = AuditedLabeler(labeler=LABELER, metrics=(share("accuracy", 0.6),), outcomes=found)
    text = audit_report(certificate(one))
    assert "| judgments for the first answer | 7 |" in text
    assert "| judgments with the problem low mass | 1 |" in text
    assert "| no label: abstained | 3 |" in text
    assert "accuracy at matched length: not measured, as no two answers have it within 10%." in text
    measured = one.model_copy(update={"metrics": (*one.metrics, share("accuracy.matched length", 0.5))})
    assert "not measured" not in audit_report(certificate(measured))


def test_summary_has_only_figures_of_its_own_labeler(tmp_path: Path):
    other = AuditedLabeler(labeler=POINTWISE, metrics=(share("accuracy", 0.9),))
    one = certificate(AuditedLabeler(labeler=LABELER), other, without_gold=(share("planted", 0.8),))
    write(tmp_path, "x", one)
    found = find_audit(tmp_path, POINTWISE.digest)
    assert found is not None
    assert [metric["name"] for metric in found.summary()["metrics"]] == ["accuracy"]
