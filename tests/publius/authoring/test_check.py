"""`publius check`: what the linter is given, what a model is asked, and how it is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest

from constitution.checks.kinds import PhraseListName
from constitution.checks.wording import phrase_list
from constitution.lint.codes import CODES
from core.errors import DataError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from labelers.conflict import CONFLICT_TEMPLATE
from prompts.environment import TEMPLATES, PromptTemplates
from publius.authoring.check import CheckRequest, JudgedRequest, check_constitution
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project

CLEAN = "name: x\nprinciples:\n  - The reply is kind.\n  - The reply tells every detail.\n"
WARNED = "name: x\nsections: [a, b]\nprinciples:\n  - {id: p, text: The reply is kind., section: a}\n"
BROKEN = CLEAN + "  - {id: p, text: It is so., examples: [{prompt: p, good: g, bad: g}]}\n"
SCOPED = "name: x\nprinciples:\n  - {id: p, text: The reply is kind., applies_to: {tags: [late]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def maker(conflict: float, mass: float = 1.0):
    """Makes engines that give a conflict this probability, whatever the letter for it."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        text = request.turns[0].text
        first = text.index("They conflict") < text.index("They agree")
        p = conflict if first else 1 - conflict
        return math.log(mass * p), math.log(mass * (1 - p))

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return ScriptedEngine(chooser=choose, model=model.id)

    return make


def test_an_override_that_repeats_the_template_is_found(file):
    default = PromptTemplates().principle_defaults()["comparison"]
    entry = f"  - {{id: p, text: The reply is so., comparison: '{default}'}}\n"
    result = check_constitution(CheckRequest(str(written(file, CLEAN + entry))))
    assert [finding.code for finding in result.report.findings] == ["L208"]


def test_a_template_that_no_run_asks_with_is_no_part_of_the_digest():
    assert CONFLICT_TEMPLATE not in PromptTemplates().sources
    assert PromptTemplates({TEMPLATES[0]: "other"}).digest != PromptTemplates().digest


def test_prompts_of_a_file_decide_what_is_out_of_reach(file, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": "One?", "tags": ["late"]}) + "\n")
    assert not check_constitution(CheckRequest(str(written(file, SCOPED)), prompts)).report.findings
    prompts.write_text(json.dumps({"prompt": "One?", "tags": ["early"]}) + "\n")
    found = check_constitution(CheckRequest(str(file), prompts)).report.findings
    assert [finding.code for finding in found] == ["L504", "L501"]


def test_prompts_of_a_run_are_those_that_it_takes_in(file, tmp_path):
    rows = [
        {"prompt": f"Question {i}?", "tags": [tag], "split": "train"} for i, tag in enumerate(["a", "late"])
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = written(tmp_path / "run.yaml", RUN)
    assert "L501" not in [
        f.code for f in check_constitution(CheckRequest(str(written(file, SCOPED)), run=run)).report.findings
    ]
    run.write_text(RUN.replace("prompts: prompts.jsonl", "prompts: {path: prompts.jsonl, limit: 1}"))
    assert "L501" in [f.code for f in check_constitution(CheckRequest(str(file), run=run)).report.findings]


def test_a_run_file_names_its_constitution_itself(tmp_path):
    done = here("check", "--run", write_project(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "small: 4 principles, 1 machine-checkable" in done.stdout


def test_the_principles_are_named_by_who_decides_them(file):
    written(
        file,
        "- {id: short, text: At most 5 words., check: {kind: max_words, value: 5}}\n"
        "- {id: kind, text: The reply is kind.}\n",
    )
    lines = here("check", file).stdout.splitlines()
    assert "decided by a check: short" in lines
    assert "judged by a model: kind" in lines
    many = "".join(f"- {{id: p{i}, text: The reply keeps rule {i}.}}\n" for i in range(40))
    said = " ".join(here("check", written(file, many)).stdout.split())
    assert "p29 and 10 more" in said
    assert "decided by a check" not in said


def test_an_unreadable_prompts_file_is_told_with_its_line(file, tmp_path):
    prompts = written(tmp_path / "prompts.jsonl", "{}\n")
    with pytest.raises(DataError, match=r"prompts.jsonl:1"):
        check_constitution(CheckRequest(str(written(file, CLEAN)), prompts))


def test_conflicts_that_a_model_sees_are_notes_with_their_probability(file):
    request = CheckRequest(str(written(file, CLEAN)), judged=JudgedRequest("scripted", 10))
    result = check_constitution(request, maker(0.8))
    (finding,) = result.report.findings
    assert (finding.code, finding.severity) == ("L601", "note")
    assert "p = 0.80" in finding.what
    assert finding.where.endswith("rules.yaml:4:5")
    assert result.judged is not None
    assert (result.judged.pairs, result.judged.asked, result.judged.unparsed) == (1, 1, 0)
    assert not check_constitution(request, maker(0.8)).fails(strict=True)


def test_agreement_and_unparsed_answers_are_no_findings(file):
    request = CheckRequest(str(written(file, CLEAN)), judged=JudgedRequest("agreeing", 10))
    assert not check_constitution(request, maker(0.2)).report.findings
    request = CheckRequest(str(file), judged=JudgedRequest("rambling", 10))
    result = check_constitution(request, maker(0.9, mass=0.1))
    assert not result.report.findings
    assert result.judged is not None
    assert result.judged.unparsed == 1


def test_a_principle_silences_what_a_model_says_of_it(file):
    silenced = CLEAN + "  - {id: p, text: TODO., lint_ignore: [L601, L107]}\n"
    request = CheckRequest(str(written(file, silenced)), judged=JudgedRequest("scripted", 10))
    report = check_constitution(request, maker(0.8)).report
    assert (len(report.findings), len(report.silenced)) == (1, 3)


def test_the_budget_bounds_the_pairs_and_is_told_before(file):
    three = CLEAN + "  - The reply is brief.\n"
    done = here("check", written(file, three), "--judged", "--model", "scripted", "--budget", "2")
    assert "judges 2 of 3 pairs" in done.stderr
    assert "asked 4 of 4 requests" in done.stderr
    assert "2 of 3 pairs judged" in done.stdout
    again = here("check", file, "--judged", "--model", "scripted", "--budget", "2")
    assert "asked 0 of 4 requests" in again.stderr


@pytest.mark.parametrize(
    ("text", "options", "code", "told"),
    [
        (CLEAN, (), 0, "0 errors, 0 warnings, 0 notes; 0 silenced"),
        (WARNED, (), 0, "0 errors, 1 warning, 0 notes; 0 silenced"),
        (WARNED, ("--strict",), 2, "1 warning"),
        (BROKEN, (), 2, "1 error,"),
        (WARNED.replace("principles", "lint_ignore: [L203]\nprinciples"), ("--strict",), 0, "1 silenced"),
    ],
)
def test_the_exit_code_is_that_of_the_gravest_finding(file, text, options, code, told):
    done = here("check", written(file, text), *options)
    assert done.returncode == code
    assert told in done.stdout.splitlines()[-1]


def test_a_finding_is_one_line_with_place_code_severity_and_hint(file):
    line = here("check", written(file, WARNED)).stdout.splitlines()[0]
    assert line == (
        f"{file}:2:15: L203 warning: no principle is in the section 'b' "
        "(delete it, or set the section of its principles)"
    )


def test_json_gives_all_that_was_found(file):
    text = WARNED.replace("principles", "lint_ignore: [L203]\nprinciples")
    content = json.loads(
        here(
            "check", written(file, text + "  - {id: t, text: TODO., lint_ignore: [L305]}\n"), "--json"
        ).stdout
    )
    assert content["counts"] == {"error": 0, "warning": 2, "note": 1}
    assert {entry["name"] for entry in content["findings"]} >= {"placeholder", "unused-lint-ignore"}
    assert [entry["code"] for entry in content["silenced"]] == ["L203"]
    assert content["judged"] is None


def test_codes_are_explained_without_a_constitution():
    assert here("check", "--explain", "L105").stdout.startswith("L105 overlong-text (warning)\n")
    listed = here("check", "--explain", "all").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(CODES)
    assert len(json.loads(here("check", "--explain", "all", "--json").stdout)) == len(CODES)
    done = here("check", "--explain", "L1005")
    assert done.returncode == 2
    assert "did you mean 'L105'?" in done.stderr


@pytest.mark.parametrize("name", get_args(PhraseListName))
def test_the_phrases_of_a_list_are_shown(name: str):
    listed = here("check", "--explain", name).stdout.splitlines()
    assert listed == list(phrase_list(name))
    assert json.loads(here("check", "--explain", name, "--json").stdout) == {"name": name, "phrases": listed}


def test_options_that_do_not_go_together_are_refused(file):
    assert "CONSTITUTION" in here("check").stderr
    assert "--prompts or --run" in here("check", file, "--prompts", "a.txt", "--run", "run.yaml").stderr


@pytest.mark.slow
def test_the_embedded_model_answers_about_conflicts_and_its_worth_is_told(embedded_files, file):
    text = CLEAN + "  - The reply is brief.\n"
    done = here("check", written(file, text), "--judged", "--json")
    content = json.loads(done.stdout)
    assert content["judged"] == {"model": "smollm2-135m-instruct", "pairs": 3, "asked": 3, "unparsed": 0}
    assert "no better than chance" in done.stderr


def test_mistakes_are_json_too_where_json_is_asked_for(file):
    ran = here("check", written(file, "name: x\nprinciples: []\n"), "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 2
    assert [problem["where"] for problem in told["problems"]] == [f"{file}:2:13"]
