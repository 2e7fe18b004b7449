"""`publius test`: every outcome of an example, and how the outcomes are told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.errors import ConfigError, RequestError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from publius.authoring.examples import ExamReport, ExamRequest, run_exams
from tests.publius.invoking import here

TEXT = """\
name: x
principles:
  - id: kind
    text: The reply is kind.
    examples:
      - {prompt: One?, good: Gladly one., bad: Never., use: few_shot}
      - {prompt: Two?, good: Gladly two., bad: Never.}
      - {prompt: Three?, good: Never three., bad: Gladly.}
  - id: short
    text: The reply has at most two words.
    check: {kind: max_words, value: 2}
    examples:
      - {prompt: One?, good: Yes., bad: Yes it really is.}
      - {prompt: Two?, good: Yes it is., bad: Yes it really is.}
      - {prompt: Three?, good: Yes., bad: No.}
  - The reply is calm.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(TEXT)
    return path


def gladly(request: ChoiceRequest) -> tuple[float, ...]:
    """Prefer the reply that begins with `Gladly` by 2 nats, after a liking of 1 nat for the letter A."""
    text = request.turns[-1].text
    odds = 1.0 + (2.0 if text.index("Reply A:") < text.index("Gladly", 20) < text.index("Reply B:") else -2.0)
    p = 1 / (1 + math.exp(-odds))
    return math.log(0.9 * p), math.log(0.9 * (1 - p))


def maker(chooser=gladly):
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return ScriptedEngine(chooser=chooser, model=model.id)

    return make


def outcomes(report: ExamReport) -> dict[str, str]:
    return {result.exam.name: result.outcome for result in report.results}


def test_every_test_example_is_judged_and_no_few_shot_example(file):
    report = run_exams(ExamRequest(str(file), "scripted"), maker())
    assert outcomes(report) == {
        "kind[2]": "passed",
        "kind[3]": "failed",
        "short[1]": "passed",
        "short[2]": "failed",
        "short[3]": "failed",
    }
    assert report.untested == ("calm",)
    assert report.failed


def test_a_judged_example_carries_its_probability_and_both_orders(file):
    results = {r.exam.name: r for r in run_exams(ExamRequest(str(file), "scripted"), maker()).results}
    assert results["kind[2]"].p == pytest.approx(1 / (1 + math.exp(-2)))
    assert results["kind[2]"].log_odds == pytest.approx((3.0, 1.0))  # the liking for A, and against it
    assert results["kind[3]"].p == pytest.approx(1 / (1 + math.exp(2)))
    assert results["kind[3]"].log_odds == pytest.approx((-1.0, -3.0))
    assert results["kind[2]"].exam.where.endswith("rules.yaml:7:9")


def test_the_slot_of_the_good_answer_is_not_always_the_same(tmp_path):
    entries = "".join(f"      - {{prompt: 'Q{i}?', good: Gladly {i}., bad: Never.}}\n" for i in range(12))
    path = tmp_path / "rules.yaml"
    path.write_text(f"name: x\nprinciples:\n  - id: k\n    text: It is kind.\n    examples:\n{entries}")
    shown_first: list[bool] = []

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        text = request.turns[-1].text
        shown_first.append("Gladly" in text[text.index("Reply A:") : text.index("Reply B:")])
        return gladly(request)

    report = run_exams(ExamRequest(str(path), "scripted"), maker(choose))
    assert set(outcomes(report).values()) == {"passed"}
    assert set(shown_first[::2]) == {True, False}


def test_a_check_says_which_answer_is_wrong_and_the_scores(file):
    told = {r.exam.name: r.detail for r in run_exams(ExamRequest(str(file), "scripted"), maker()).results}
    assert told["short[2]"] == "the good answer fails max_words 2 (score 0.67)"
    assert told["short[3]"] == "the bad answer passes max_words 2 (score 1.00)"


def test_min_p_raises_the_bar(file):
    request = ExamRequest(str(file), "scripted", ("kind",), min_p=0.9)
    assert outcomes(run_exams(request, maker()))["kind[2]"] == "failed"


def test_a_probability_of_one_half_does_not_pass(file):
    undecided = maker(lambda request: (math.log(0.45), math.log(0.45)))
    report = run_exams(ExamRequest(str(file), "scripted", ("kind",)), undecided)
    assert set(outcomes(report).values()) == {"failed"}


def test_an_answer_without_a_letter_is_unparsed_and_fails(file):
    rambling = maker(lambda request: (math.log(0.2), math.log(0.1)))
    report = run_exams(ExamRequest(str(file), "scripted", ("kind",)), rambling)
    assert outcomes(report) == {"kind[2]": "unparsed", "kind[3]": "unparsed"}
    assert report.failed
    assert "the model would write" in report.results[0].detail


def test_answers_that_are_too_long_for_the_model_are_unparsed_and_do_not_end_the_test(file):
    def refuse(request: ChoiceRequest) -> tuple[float, ...]:
        raise RequestError("too long", detail="9,000 tokens")

    report = run_exams(ExamRequest(str(file), "scripted"), maker(refuse))
    assert (report.count("unparsed"), report.count("failed"), len(report.results)) == (2, 2, 5)
    assert report.results[0].detail == "too long (9,000 tokens)"


def test_checks_only_asks_no_model(file):
    def refuse(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        raise AssertionError("no model is needed")

    report = run_exams(ExamRequest(str(file), "scripted", checks_only=True), refuse)
    assert (report.count("skipped"), report.count("failed"), report.model) == (2, 2, None)
    only = run_exams(ExamRequest(str(file), "scripted", ("short",)), refuse)
    assert len(only.results) == 3


def test_an_unknown_principle_is_told_with_the_nearest(file):
    with pytest.raises(ConfigError, match="did you mean 'short'"):
        run_exams(ExamRequest(str(file), "scripted", ("shrt",)))


def test_a_prompt_that_is_shown_and_asked_is_refused_at_its_place(file):
    file.write_text(TEXT.replace("{prompt: Two?, good: Gladly", "{prompt: one, good: Gladly"))
    with pytest.raises(
        ConfigError, match=r"rules.yaml:7:18: the prompt of this test example is also that of few_shot"
    ):
        run_exams(ExamRequest(str(file), "scripted"), maker())


def test_the_command_tells_failures_a_line_each_and_exits_with_1(file):
    done = here("test", file, "--checks-only")
    assert done.returncode == 1
    first, second, summary = done.stdout.splitlines()
    assert first.startswith(f"{file}:14:9: FAILED short[2]: the good answer fails max_words 2")
    assert first.endswith("'Two?'")
    assert summary == "1 passed, 2 failed, 0 unparsed, 2 skipped; 1 principle without test examples"
    assert len(here("test", file, "--checks-only", "-v").stdout.splitlines()) == 6
    assert second.startswith(f"{file}:15:9: FAILED short[3]")


def test_the_command_exits_with_0_where_nothing_fails(file):
    file.write_text("name: x\nprinciples:\n  - The reply is kind.\n")
    done = here("test", file)
    assert (done.returncode, done.stdout) == (
        0,
        "0 passed, 0 failed, 0 unparsed, 0 skipped; 1 principle without test examples\n",
    )


def test_json_gives_every_result(file):
    content = json.loads(here("test", file, "--model", "scripted", "--json").stdout)
    assert content["counts"]["failed"] >= 2
    assert content["untested"] == ["calm"]
    assert [entry["by"] for entry in content["results"]] == ["ai", "ai", "check", "check", "check"]
    assert all(entry["p"] is not None for entry in content["results"][:2])


def test_junit_counts_and_names_every_example(file, tmp_path):
    file.write_text(TEXT.replace("name: x", 'name: "a <b> & c"'))
    here("test", file, "--checks-only", "--junit", tmp_path / "junit.xml")
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.attrib == {"name": "a <b> & c", "tests": "5", "failures": "2", "errors": "0", "skipped": "2"}
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("kind[2]", ["skipped"]),
        ("kind[3]", ["skipped"]),
        ("short[1]", []),
        ("short[2]", ["failure"]),
        ("short[3]", ["failure"]),
    ]


def test_a_junit_file_that_cannot_be_written_is_one_line(file, tmp_path):
    done = here("test", file, "--checks-only", "--junit", tmp_path / "absent" / "junit.xml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_embedded_model_judges_examples_and_its_worth_is_told(embedded_files, file):
    done = here("test", file, "--only", "kind", "--json")
    content = json.loads(done.stdout)
    assert content["model"] == "smollm2-135m-instruct"
    assert content["counts"]["unparsed"] == 0
    assert content["counts"]["passed"] + content["counts"]["failed"] == 2
    assert all(0 < entry["p"] < 1 for entry in content["results"])
    assert "no better than chance" in done.stderr


def test_progress_is_logged_and_not_printed_while_a_model_judges(file, capsys, caplog):
    caplog.set_level("INFO", "publius")
    run_exams(ExamRequest(str(file), "scripted"), maker())
    assert "test  0/2" in caplog.text
    assert "test  2/2  100%" in caplog.text
    assert capsys.readouterr() == ("", "")
