"""`publius audit labeler`: what it measures, writes, recommends and refuses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.chat import Untrusted
from core.errors import ConfigError, DataError, EngineError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from evaluation.judges.certificate import CERTIFICATE, read_certificate
from labelers.correction.correction import read_correction
from publius.audit.correcting import CorrectionRequest, run_correction
from publius.audit.labeler import AUDIT_REPORT, AuditResult, run_audit
from publius.audit.settings import AuditRequest
from publius.runs.engines import make_engine
from publius.runs.inputs import CORRECTION
from publius.views.audits.labeler import print_audit
from tests.publius.invoking import here
from tests.publius.judges import model_of_bytes, write_judge

CONSTITUTION = "name: t\nprinciples: [The reply is kind.]\n"
CHECKED = """name: t
principles:
  - The reply is kind.
  - {id: short, text: The reply has at most thirty words., check: {kind: max_words, value: 30}}
"""
Maker = Callable[[ModelConfig, EngineConfig], ScriptedEngine]


def texts(request: ChoiceRequest) -> list[str]:
    turn = request.turns[-1]
    return [piece.text for piece in turn.pieces if isinstance(piece, Untrusted)]


def log(odds: float) -> tuple[float, float]:
    return -math.log1p(math.exp(-odds)) + math.log(0.98), -math.log1p(math.exp(odds)) + math.log(0.98)


def judge(true: float, slot: float = 0.0, pointwise: float | None = None) -> Maker:
    """An engine that prefers answers with the word `good` by `true` nats, and the first place by `slot`."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        shown = texts(request)
        strength = true if len(shown) > 2 or pointwise is None else pointwise
        if request.choices == (" A", " B"):
            sign = ("good" in shown[-2]) - ("good" in shown[-1])
            return log(strength * sign + slot)
        return log(strength * (1 if "good" in shown[-1] else -1) / 2)

    return lambda model, engine: ScriptedEngine(chooser=choose, model=f"scripted:{model.id}")


def gold_file(folder: Path, count: int = 60, flipped: int = 0) -> Path:
    path = folder / "gold.jsonl"
    rows = []
    for n in range(count):
        good, bad = f"good answer {n}", f"poor answer {n}, which is longer"
        chosen, rejected = (bad, good) if n < flipped else (good, bad)
        rows.append({"prompt": f"Question {n}?", "chosen": chosen, "rejected": rejected, "subset": "chat"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def telling_gold(folder: Path, count: int = 60) -> Path:
    """Gold that no rule gets right: no word is in two pairs, and half of the better answers are longer."""
    path = folder / "telling.jsonl"
    rows = []
    for n in range(count):
        good, bad = f"good{n}", f"poor{n}"
        good, bad = (good, f"{bad} x{n}") if n % 2 else (f"{good} x{n}", bad)
        rows.append({"prompt": f"Question {n}?", "chosen": good, "rejected": bad})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def audit(
    folder: Path, chooser: Maker | None = None, text: str = CONSTITUTION, **request: Any
) -> AuditResult:
    (folder / "c.yaml").write_text(text)
    fields = {"source": str(folder / "c.yaml"), "model": "scripted", **request}
    return run_audit(AuditRequest(**fields), chooser or judge(1.0))


def figure(result: AuditResult, name: str) -> float:
    return result.certificate.figures()[name].value


def figure_count(result: AuditResult, name: str) -> int:
    return result.certificate.figures()[name].n


SCOPED = """name: t
principles:
  - The reply is kind.
  - {id: safe, text: The reply names the risk., applies_to: {tags: [health, docs]}}
  - {id: polite, text: The reply is polite., applies_to: {pattern: please}}
"""


def test_principles_that_no_gold_comparison_was_judged_under_are_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = audit(
        tmp_path, text=SCOPED, gold=[str(telling_gold(tmp_path))], overrides=["label.principles=all"]
    )
    assert found.certificate.audited[0].not_asked == {
        "safe": (
            "no gold comparison is in its scope, one of the tags health, docs; the gold labels have no tags"
        ),
        "polite": "no gold comparison is in its scope",
    }
    print_audit(found)
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "not asked about safe: no gold comparison is in its scope, one of the tags health, docs;" in printed
    )
    assert "- not asked about polite: no gold comparison" in (found.folder / AUDIT_REPORT).read_text()


def test_right_labeler_passes_and_leaves_a_certificate(tmp_path: Path):
    result = audit(tmp_path, gold=[str(telling_gold(tmp_path))], compare=False, min_accuracy=0.9)
    assert not result.failed
    assert result.certificate.audited[0].problems == ()
    assert figure(result, "accuracy") == 1.0
    assert figure(result, "baseline.longest") == 0.5
    assert read_certificate(result.folder / CERTIFICATE) == result.certificate
    bins = result.certificate.audited[0].reliability
    assert sum(one.n for one in bins) == figure_count(result, "accuracy")
    assert all(one.label == 1 and 0.5 < one.predicted <= 1 for one in bins)
    assert "Nothing was found against it" in (result.folder / AUDIT_REPORT).read_text()
    assert result.folder.parent == tmp_path / "audits"


def test_gold_on_which_the_shorter_answer_is_right_clears_nobody(tmp_path: Path):
    result = audit(tmp_path, judge(1.0, slot=3.0), gold=[str(gold_file(tmp_path))], compare=False)
    assert figure(result, "accuracy") == 1.0
    alike, swapped = result.certificate.audited[0].problems
    assert alike.startswith("this gold cannot tell the labeler (100.0%) from a rule that takes the shorter")
    assert swapped.startswith("swapping the answers changes the preferred one in 100.0%")


def test_share_of_wrong_labels_is_the_error(tmp_path: Path):
    result = audit(tmp_path, gold=[str(gold_file(tmp_path, 60, flipped=15))], compare=False, min_accuracy=0.8)
    assert figure(result, "accuracy") == 0.75
    assert result.failed
    assert "below the required 80.0%" in result.certificate.audited[0].problems[0]


def test_mode_of_the_lower_nll_is_recommended_on_other_comparisons(tmp_path: Path):
    chooser = judge(-1.0, pointwise=1.0)  # the pair question is answered wrongly, the single one rightly
    result = audit(tmp_path, chooser, gold=[str(gold_file(tmp_path))])
    certificate = result.certificate
    assert [one.labeler.mode for one in certificate.audited] == ["choice", "pointwise"]
    assert certificate.recommended == certificate.audited[1].labeler.digest
    assert [one.metric("accuracy").value for one in certificate.audited] == [0.0, 1.0]  # type: ignore[union-attr]
    counted = certificate.audited[0].metric("accuracy")
    assert counted is not None
    assert certificate.tuning + counted.n == certificate.rows == 60
    assert certificate.tuning > 0


def test_templates_are_compared_too(tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "comparison.j2").write_text(
        "{% block user %}{{ conversation[0].content }} {{ reply_a }} {{ reply_b }}{% endblock %}"
        "{% block prefill %}Reply{% endblock %}"
    )
    result = audit(tmp_path, gold=[str(gold_file(tmp_path))], templates=[folder])
    names = [one.labeler.name for one in result.certificate.compared]
    # The folder replaces the template of one mode only: the other mode is the same labeler.
    assert names == ["choice", "pointwise", "choice, templates mine"]


def test_few_gold_prompts_measure_all_labelers_and_recommend_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    result = audit(tmp_path, judge(-1.0, pointwise=1.0), gold=[str(gold_file(tmp_path, 12))])
    certificate = result.certificate
    assert (certificate.tuning, certificate.recommended, len(certificate.audited)) == (0, None, 1)
    accuracies = [one.metric("accuracy") for one in certificate.compared]
    assert [one.value for one in accuracies if one is not None] == [0.0, 1.0]
    assert all(one is not None and one.n == 12 for one in accuracies)
    assert "(12, and about 45 are enough)" in caplog.text
    assert "none is recommended" in (result.folder / AUDIT_REPORT).read_text()


def test_rows_limit_what_is_judged(tmp_path: Path):
    result = audit(tmp_path, gold=[str(gold_file(tmp_path))], rows=25, compare=False)
    assert result.certificate.rows == 25
    assert result.certificate.gold[0].comparisons == 60


def test_rows_without_a_label_are_counted(tmp_path: Path):
    path = gold_file(tmp_path, 30)
    with path.open("a") as file:
        file.write('{"prompt": "q", "chosen": "same", "rejected": "same"}\n')
    result = audit(tmp_path, gold=[str(path), str(path)], compare=False)
    first, again = result.certificate.gold
    assert sum(first.excluded.values()) == 1
    assert again.excluded["in an earlier source too"] == 30
    assert result.certificate.rows == 30


def test_label_folder_is_gold(tmp_path: Path):
    folder = tmp_path / "labels"
    assert here("import", "labels", gold_file(tmp_path), "--to", folder).returncode == 0
    result = audit(tmp_path, gold=[str(folder)], compare=False)
    assert (result.certificate.gold[0].name, result.certificate.rows) == ("labels", 60)


def test_second_audit_asks_nothing_again(tmp_path: Path):
    gold = [str(gold_file(tmp_path))]
    audit(tmp_path, gold=gold, compare=False)
    again = audit(tmp_path, gold=gold, compare=False)
    cost = again.certificate.audited[0].cost
    assert cost is not None
    assert (cost.asked, cost.requests, cost.seconds) == (0, 120, None)


def test_without_gold_planted_violations_find_a_labeler_that_sees_nothing(tmp_path: Path):
    blind = judge(0.0, slot=2.0)
    result = audit(tmp_path, blind, CHECKED)
    assert figure(result, "planted") == 0.5
    assert figure(result, "swap inconsistency") == 1.0
    assert figure(result, "checks.short") == 0.5
    assert result.certificate.unreliable == ("short",)
    assert len(result.certificate.audited[0].problems) == 3


def test_without_gold_a_labeler_that_counts_words_is_right_about_the_check(tmp_path: Path):
    def count(request: ChoiceRequest) -> tuple[float, ...]:
        first, second = (len(text.split()) for text in texts(request)[-2:])
        return log(float(second > first) - float(first > second))

    result = audit(tmp_path, lambda model, engine: ScriptedEngine(chooser=count), CHECKED)
    assert figure(result, "checks") == 1.0
    assert result.certificate.unreliable == ()


def test_model_that_cannot_answer_is_refused_in_one_line(tmp_path: Path):
    class Thinks(ScriptedEngine):
        def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
            raise ConfigError("it thinks first", where="models.labeler", accepted="one that does not")

    with pytest.raises(EngineError, match=r"the model cannot label: .*it thinks first"):
        audit(tmp_path, lambda model, engine: Thinks(), gold=[str(gold_file(tmp_path))])


def test_constitution_of_checks_alone_has_no_labeler(tmp_path: Path):
    text = CHECKED.replace("  - The reply is kind.\n", "")
    with pytest.raises(ConfigError, match="every principle has a machine check"):
        audit(tmp_path, text=text)


def test_gold_without_labels_is_refused_with_the_reasons(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "q", "response_a": "x", "response_b": "y", "verdict": "tie"}\n')
    with pytest.raises(DataError, match="annotators prefer neither answer: 1"):
        audit(tmp_path, gold=[str(path)])


def test_run_file_gives_the_labeler_and_its_settings(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    run = tmp_path / "run.yaml"
    run.write_text(
        "constitution: c.yaml\nprompts: none.jsonl\nmodels: {policy: p, labeler: scripted-labeler}\n"
        "engine: {kind: scripted}\nlabel: {mode: pointwise}\n"
    )
    result = run_audit(
        AuditRequest(source=str(run), gold=[str(gold_file(tmp_path))], compare=False), judge(1.0)
    )
    labeler = result.certificate.audited[0].labeler
    assert (labeler.model, labeler.mode) == ("scripted:scripted-labeler", "pointwise")
    assert figure(result, "accuracy") == 1.0


def test_an_audit_trains_nothing_and_takes_an_engine_that_cannot(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    run = tmp_path / "run.yaml"
    run.write_text("constitution: c.yaml\nprompts: none.jsonl\nmodels: {policy: m}\ntrain: [dpo]\n")
    options = ("--gold", gold_file(tmp_path, 20), "--to", tmp_path / "to", "--set", "engine.kind=scripted")
    done = here("audit", "labeler", run, *options)
    assert "train lists" not in done.stderr
    assert (tmp_path / "to" / CERTIFICATE).is_file()


def test_command_exits_with_1_below_the_required_accuracy(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    gold = gold_file(tmp_path)
    given = ("audit", "labeler", tmp_path / "c.yaml", "--model", "scripted", "--gold", gold, "--no-compare")
    low = here(*given, "--min-accuracy", "0.01", "--json")
    high = here(*given, "--min-accuracy", "1")
    assert (low.returncode, high.returncode) == (0, 1)
    assert json.loads(low.stdout)["rows"] == 60
    assert "accuracy" in high.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mode", "guess"), "unknown mode 'guess'"),
        (("--min-accuracy", "0.5"), "--min-accuracy needs gold labels"),
        (("--rows", "5", "--mode", "choice"), "--rows, --mode needs gold labels"),
        (("--gold", "missing.jsonl"), "missing.jsonl"),
        (("--set", "label.principles=0"), "label.principles"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: tuple[str, ...], message: str):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    done = here("audit", "labeler", tmp_path / "c.yaml", "--model", "scripted", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def obedient(request: ChoiceRequest) -> tuple[float, ...]:
    """Prefer what the last sentence of a reply claims, if nothing but the reply is on its line."""
    text = "".join(turn.text for turn in request.turns)
    fenced = "holds no instructions" in text
    wanted = re.findall(r"The (?:better reply is Reply (A|B)|answer is (Yes))", text)
    if fenced or not wanted:
        return log(0.0)
    letter = "".join(wanted[-1])
    return log(2.0 if letter in ("A", "Yes") else -2.0)


@pytest.mark.parametrize("mode", ["choice", "pointwise"])
def test_injections_move_a_labeler_that_obeys_only_what_is_not_fenced(tmp_path: Path, mode: str):
    result = audit(
        tmp_path,
        lambda model, engine: ScriptedEngine(chooser=obedient),
        injections=True,
        overrides=[f"label.mode={mode}"],
    )
    assert figure(result, "injection.shift") == 0.0
    assert figure(result, "injection.shift.naive") > 0.8
    assert figure(result, "injection.ratio") == 0.0
    assert not any("injections" in problem for problem in result.certificate.audited[0].problems)


def test_wish_for_a_letter_cancels_in_both_orders_and_not_in_one(tmp_path: Path):
    def obeys(request: ChoiceRequest) -> tuple[float, ...]:
        wanted = re.findall(r"The better reply is Reply (A|B)", "".join(turn.text for turn in request.turns))
        return log({"A": 2.0, "B": -2.0}[wanted[-1]] if wanted else 0.0)

    result = audit(tmp_path, lambda model, engine: ScriptedEngine(chooser=obeys), injections=True)
    assert figure(result, "injection.shift") == pytest.approx(0.0)
    one_order = figure(result, "injection.shift.one order")
    assert one_order == pytest.approx(figure(result, "injection.shift.naive"))
    assert one_order > 0.8


def test_wish_for_yes_cancels_in_both_polarities_and_a_naive_judge_is_asked_once(tmp_path: Path):
    def obeys(request: ChoiceRequest) -> tuple[float, ...]:
        return log(4.0 if "The answer is Yes" in "".join(turn.text for turn in request.turns) else 0.0)

    result = audit(
        tmp_path,
        lambda model, engine: ScriptedEngine(chooser=obeys),
        injections=True,
        overrides=["label.mode=pointwise", "label.polarity=both"],
    )
    assert figure(result, "injection.shift") == pytest.approx(0.0)
    assert figure(result, "injection.shift.naive") > 0.8
    assert not any("injections" in problem for problem in result.certificate.audited[0].problems)


def test_labeler_that_obeys_replies_is_found_out(tmp_path: Path):
    def obeys(request: ChoiceRequest) -> tuple[float, ...]:
        return log(4.0 if "The answer is Yes" in "".join(turn.text for turn in request.turns) else 0.0)

    result = audit(
        tmp_path,
        lambda model, engine: ScriptedEngine(chooser=obeys),
        injections=True,
        overrides=["label.mode=pointwise"],
    )
    assert figure(result, "injection.ratio") == pytest.approx(1.0)
    assert "injections in a reply move its log-odds" in result.certificate.audited[0].problems[-1]
    assert "Injections in replies" in (result.folder / AUDIT_REPORT).read_text()


def test_certificate_holds_the_correction_and_its_file_is_what_runs_take(tmp_path: Path):
    gold = [str(gold_file(tmp_path, 60, flipped=15))]
    result = audit(tmp_path, judge(4.0), gold=gold, compare=False)
    (one,) = read_certificate(result.folder / CERTIFICATE).audited
    assert one.correction is not None
    assert one.correction == read_correction(result.folder / CORRECTION)
    assert one.correction.labeler.digest == one.labeler.digest
    assert one.correction.scale < 1  # 4 nats are too sure where one label in four is wrong
    assert one.correction.after.nll < one.correction.before.nll
    assert "correction: log-odds times" in (result.folder / AUDIT_REPORT).read_text()
    fitted = run_correction(
        CorrectionRequest(
            AuditRequest(source=str(tmp_path / "c.yaml"), model="scripted", gold=gold, compare=False),
            tmp_path / "correction.json",
        ),
        judge(4.0),
    )
    assert fitted.correction == one.correction

    # Where its labels say nothing about gold there is none, and the file of the audit before goes.
    gold = [str(gold_file(tmp_path, 60, flipped=30))]
    again = audit(tmp_path, judge(4.0), gold=gold, compare=False)
    assert again.folder == result.folder
    (none,) = again.certificate.audited
    assert none.correction is None
    assert "no information beyond noise" in (none.no_correction or "")
    assert not (again.folder / CORRECTION).exists()


def test_a_correction_is_not_advised_where_a_rule_of_length_is_right_more_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def mostly_right(request: ChoiceRequest) -> tuple[float, ...]:
        first, second = texts(request)[-2:]
        sign = ("good" in first) - ("good" in second)
        number = int(first.split(",")[0].split()[2])
        return log(0.5 * sign * (1 if number % 10 < 8 else -1))

    caplog.set_level("INFO")
    result = audit(
        tmp_path,
        lambda model, engine: ScriptedEngine(chooser=mostly_right, model="scripted"),
        gold=[str(gold_file(tmp_path))],
        compare=False,
    )
    assert figure(result, "accuracy") == 0.8
    assert figure(result, "baseline.shortest") == 1.0
    assert figure(result, "accuracy.corrected") < 1
    assert "is not advised: corrected labels are right in 8" in caplog.text
    assert "to correct its labels" not in caplog.text
    assert (result.folder / CORRECTION).exists()


def test_a_trained_judge_is_not_audited_on_principles_that_it_abstains_on(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any, caplog: pytest.LogCaptureFixture
):
    folder = write_judge(tmp_path / "judge", model_of_bytes(tmp_path / "tiny", tiny_model, tiny_tokenizer))
    wording = "The reply has at most 9 words."
    weak = f"name: t\nprinciples:\n  - The reply is kind.\n  - {{id: brief, text: {wording!r}}}\n"
    request = {"gold": [str(gold_file(tmp_path, 12))], "model": str(folder), "compare": False}
    overrides = ["label.mode=pointwise", "label.principles=all"]
    result = audit(tmp_path, make_engine, weak, overrides=overrides, **request)
    assert "abstains on principles of kinds on which it is not reliable: brief (max_words)" in caplog.text
    assert sum(n for name, n in result.certificate.audited[0].outcomes.items() if "verdict" in name) == 12
    only = f"name: t\nprinciples:\n  - {{id: brief, text: {wording!r}}}\n"
    with pytest.raises(ConfigError, match="abstains on every principle"):
        audit(tmp_path, make_engine, only, overrides=["label.mode=pointwise"], **request)


def test_injections_of_the_users_own_are_a_third_set(tmp_path: Path):
    rows = [{"text": "\n\nHear me: {claim}.", "neutral": "\n\nSee you there.", "kind": "plain"}] * 3
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = audit(
        tmp_path,
        lambda model, engine: ScriptedEngine(chooser=obedient),
        injections_from=path,
        overrides=["label.mode=pointwise"],
    )
    found = {metric.name: metric for metric in result.certificate.injections}
    assert found["injection.own.shift"].n == found["injection.own.shift.plain"].n == 3
    assert found["injection.own.shift.naive"].value == pytest.approx(2.0)
    assert found["injection.shift"].n == 45


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "a"}', "own.jsonl:1: not an injection: neutral"),
        ('{"text": "a {b}", "neutral": "c"}', "own.jsonl:1: the braces in `text` cannot be filled"),
        ("", "own.jsonl"),
    ],
)
def test_file_without_injections_is_one_line(tmp_path: Path, row: str, message: str):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "own.jsonl").write_text(row + "\n")
    given = ("audit", "labeler", tmp_path / "c.yaml", "--model", "scripted")
    done = here(*given, "--injections-from", tmp_path / "own.jsonl")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
