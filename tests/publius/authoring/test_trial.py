"""`publius try`: the principles, tags and prompts of one's choice, every check, and verdicts in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError
from core.records import Comparison, Prompt
from engines.embedded import EMBEDDED_NAME
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from labelers.check import check_judgments
from publius.authoring.trial import ANSWER_TOKENS, Trial, TrialResult, Tried, run_trial, verdict_of_revision
from publius.console import out
from publius.views.trial import print_trial
from tests.publius.invoking import here

RULES = """\
- {id: short, text: At most two words., check: {kind: max_words, value: 2}}
- {id: calm, text: No digits., applies_to: {tags: [calm]}, check: {kind: not_regex, value: '[0-9]'}}
- {id: sorry-first, text: The reply says sorry first., applies_to: {tags: [angry]}}
- {id: plain, text: The reply uses plain words.}
- {id: kind, text: The reply is kind.}
- {id: honest, text: The reply is honest.}
"""
KEPT = "- {id: kept, text: At most a thousand words., check: {kind: max_words, value: 1000}}\n"


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


def test_the_named_principle_criticises_and_judges(rules: Path):
    trial = Trial(
        str(rules), ("My machine is broken!",), "scripted", tags=("angry",), principles=("sorry-first",)
    )
    ((result,),) = run_trial(trial).prompts
    assert [revision.principle_id for revision in result.trace.revisions] == ["sorry-first"]
    judged = [judgment.principle_id for judgment in result.judgments if judgment.labeler == "ai"]
    assert judged == ["sorry-first"]
    assert result.trace.prompt.tags == ("angry",)


def test_what_is_known_against_the_judge_is_said_once(rules: Path, caplog: pytest.LogCaptureFixture):
    trial = Trial(str(rules), ("Hello", "Goodbye"), EMBEDDED_NAME, principles=("kind",))
    tried = run_trial(trial, lambda *_: ScriptedEngine(model=EMBEDDED_NAME))
    (said,) = tried.as_json()["caveats"]
    assert said.startswith("the embedded model judges no better than chance")
    print_trial(tried)
    assert caplog.messages.count(said) == 1


def test_several_named_principles_take_turns(rules: Path):
    trial = Trial(str(rules), ("Hello",), "scripted", principles=("plain", "kind"), rounds=3)
    ((result,),) = run_trial(trial).prompts
    assert [revision.principle_id for revision in result.trace.revisions] == ["plain", "kind", "plain"]


def test_a_principle_that_does_not_apply_names_the_tag_to_give(rules: Path):
    with pytest.raises(ConfigError, match="does not apply to any of the prompts") as caught:
        run_trial(Trial(str(rules), ("Hello",), "scripted", principles=("sorry-first",)))
    assert caught.value.problems[0].accepted == "--tag angry"


def test_every_check_is_shown_with_what_it_found(rules: Path):
    done = here("try", rules, "--model", "scripted", "--prompt", "Hello", "--principle", "plain")
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip().split(maxsplit=1) for line in done.stdout.splitlines()]
    (short,) = [line[1] for line in lines if line[:1] == ["short"] and "fail" in line[1]]
    assert "words, and the limit is 2" in done.stdout
    assert short.startswith("fail")
    (calm,) = [line[1] for line in lines if line[:1] == ["calm"]]
    assert calm.split(maxsplit=1) == ["-", "not for this prompt"]
    assert "log-odds" not in done.stdout
    assert "\nOverall: " in done.stdout


def test_prompts_of_a_file_are_tried_to_the_limit_and_summed_up(rules: Path):
    rows = [{"prompt": f"What is {n} times {n}?", "tags": ["calm"]} for n in range(5)]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = here(
        "try", rules, "--model", "scripted", "--prompts", "p.jsonl", "--limit", 2, "--prompt", "Hello"
    )
    assert done.returncode == 0, done.stderr
    assert [f"\nPrompt {n} of 3" in done.stdout for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert "\nAll 3 prompts\n" in done.stdout
    assert "3 prompts of the file not tried" in done.stderr
    (last,) = [line for line in done.stderr.splitlines() if line.startswith("try  3/3")]
    assert int(last.partition(" tokens,")[0].rpartition(" ")[2]) > 0  # the progress line counts them
    told = here("try", rules, "--model", "scripted", "--prompts", "p.jsonl", "--limit", 2, "--json")
    found = json.loads(told.stdout)
    assert [result["trace"]["prompt"]["tags"] for (result,) in found["prompts"]] == [["calm"]] * 2
    assert found["left"] == 3


def test_of_many_prompts_totals_come_first_and_then_what_failed_or_changed(
    rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(out, "_width", 60)
    rules.write_text(
        "- {id: at-most-two-words, text: At most two words., check: {kind: max_words, value: 2}}\n"
    )
    constitution = load_constitution(str(rules))
    answers = [
        ("Two words.", "Two others."),
        ("Three words now.", "Two words."),
        ("It is " * 50, "So it is."),
    ]
    answers.append(("Fine.", "Fine, then."))
    tried = Tried(tuple((result_of(constitution, *pair, ()),) for pair in answers))
    print_trial(tried)
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[1] == "All 4 prompts"
    assert "passed by 2 of 4 drafts, 3 of 4 last answers" in " ".join(said.split())
    assert [line for line in lines if line[:1].isdigit() and line[1:3] == ". "] == ["2. Hello", "3. Hello"]
    assert "fail -> pass" in said
    assert "it has 3 words, and the limit is 2" in " ".join(said.split())
    assert "2 prompts without any of this" in said
    assert max(map(len, lines)) <= 60
    assert len(lines) < 20
    print_trial(tried, show_all=True)
    assert capsys.readouterr().out.count("Revision, words removed and added") == 4


def test_of_a_pattern_the_text_is_said_that_it_found(
    rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(out, "_width", 200)
    rules.write_text("- {id: calm, text: No digits., check: {kind: not_regex, value: '[0-9]'}}\n")
    constitution = load_constitution(str(rules))
    told = 'it has "9"'
    for copies in (1, 4):  # each with its answers, and in a few lines
        print_trial(Tried(((result_of(constitution, "It is 9.", "It is late.", ()),),) * copies))
        assert capsys.readouterr().out.count(told) == copies


def test_of_a_pattern_that_found_nothing_the_rule_is_said_and_not_the_pattern(
    rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(out, "_width", 200)
    rules.write_text("- {id: number, text: It has a number., check: {kind: regex, value: '[0-9]'}}\n")
    constitution = load_constitution(str(rules))
    for copies in (1, 4):
        print_trial(Tried(((result_of(constitution, "It is late.", "It is late.", ()),),) * copies))
        printed = capsys.readouterr().out
        assert printed.count("It has a number: nothing in it fits the rule's pattern") == copies
        assert "[0-9]" not in printed


def test_of_two_constitutions_each_outstanding_result_has_its_name(
    rules: Path, capsys: pytest.CaptureFixture[str]
):
    constitution = load_constitution(str(rules))
    both = tuple(result_of(constitution, "Three words now.", "Two words.", ()) for _ in range(2))
    print_trial(Tried((both,) * 4))
    assert capsys.readouterr().out.count(f"   under {constitution.name}") == 8


@pytest.mark.parametrize(
    ("p", "verdict"),
    [
        (0.5, "no difference"),
        (0.54, "no difference"),
        (0.56, "better"),
        (0.3, "worse"),
        ("no", "not compared"),
    ],
)
def test_a_verdict_says_which_is_better(p: float | str, verdict: str):
    assert verdict_of_revision(p) == verdict


def test_tags_come_from_a_column_and_skipped_rows_are_counted(rules: Path):
    Path("q.csv").write_text("Wanted;Mood\nWhat is 2 times 2?;calm\n;calm\n", encoding="utf-8")
    for command in (("check", "rules.yaml"), ("try", "rules.yaml"), ("init", "project")):
        refused = " ".join(here(*command, "--prompts", "q.csv").stderr.split())
        again = f"publius {' '.join(command)} --prompts q.csv --columns prompt=Wanted"
        assert refused.endswith(f"; run: {again}")
    mapped = ("--columns", "prompt=Wanted,tags=Mood")
    done = here("try", rules, "--model", "scripted", "--prompts", "q.csv", *mapped)
    assert "(tags: calm)" in done.stdout
    said = " ".join(done.stderr.split())
    assert "q.csv: 1 prompt of 2 rows; 1 skipped: the prompt is empty (q.csv row 2); tags: calm 1" in said
    checked = here("check", rules, "--prompts", "q.csv", *mapped)
    assert "q.csv: 1 prompt of 2 rows; 1 skipped" in checked.stdout
    found = json.loads(here("check", rules, "--prompts", "q.csv", *mapped, "--json").stdout)["prompts"]
    assert found == {"rows": 2, "prompts": 1, "skipped": {"the prompt is empty": ["q.csv row 2"]}}
    wrong = here("check", rules, "--prompts", "q.csv", "--columns", "tag=Mood")
    assert "unknown column 'tag'" in wrong.stderr
    assert "did you mean 'tags'?" in wrong.stderr


def result_of(constitution: Constitution, draft: str, revision: str, chosen: tuple[str, ...]) -> TrialResult:
    """What a trial finds whose revision is given."""
    trial = Trial("-", (), "scripted")
    prompt = Prompt.of("Hello")
    comparison = Comparison.of(prompt, (draft, "draft"), (revision, "revision:1"))
    ((made,),) = run_trial(replace(trial, constitution="rules.yaml", prompts=("Hello",))).prompts
    answers = [made.trace.initial.model_copy(update={"text": text}) for text in (draft, revision)]
    step = made.trace.revisions[0].model_copy(update={"candidates": (answers[1],), "kept": True})
    trace = made.trace.model_copy(update={"initial": answers[0], "revisions": (step,)})
    judgments = tuple(check_judgments(comparison, constitution, 0.95))
    return TrialResult(constitution, trace, comparison, judgments, chosen=chosen)


def test_the_overall_line_names_the_rule_that_decided_and_the_chosen_rules_result(
    rules: Path, capsys: pytest.CaptureFixture[str]
):
    rules.write_text(RULES.replace("applies_to: {tags: [calm]}, ", ""))
    constitution = load_constitution(str(rules))
    result = result_of(constitution, "Three 3 words now.", "Two 2.", ("calm",))
    assert result.decided_by == ("short",)
    print_trial(Tried(((result,),)))
    said = capsys.readouterr().out
    assert "Overall: the revision is clearly better, p = 0.95, decided by short" in said
    assert "calm: the revision still fails its check" in said
    assert 'it has "2"' in said


def test_drafts_and_revisions_that_end_at_the_token_limit_are_said_to_be(
    rules: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    constitution = load_constitution(str(rules))
    whole, cut = (result_of(constitution, "Two words.", "Two others.", ()) for _ in range(2))
    revision = cut.trace.revisions[0]
    last = revision.candidates[-1].model_copy(update={"finish_reason": "length"})
    trace = cut.trace.model_copy(
        update={
            "initial": cut.trace.initial.model_copy(update={"finish_reason": "length"}),
            "revisions": (revision.model_copy(update={"candidates": (last,)}),),
        }
    )
    cut = replace(cut, trace=trace)
    caplog.clear()
    print_trial(Tried(((whole,),)))
    assert not caplog.messages
    tried = Tried(((whole,), (cut,)), max_new_tokens=9)
    assert [result["cut_off"] for (result,) in tried.as_json()["prompts"]] == [
        {"draft": False, "last": False},
        {"draft": True, "last": True},
    ]
    print_trial(tried)
    assert capsys.readouterr().out.count("Draft, cut off at the token limit") == 1
    (said,) = caplog.messages
    assert said.startswith("1 of 2 drafts and 1 of 2 revisions are cut off at 9 tokens: what checks say")
    assert "--max-new-tokens N" in said


def test_the_token_limit_reaches_drafts_and_revisions_and_its_default_is_the_one_of_the_help(rules: Path):
    engine = ScriptedEngine()
    run_trial(Trial(str(rules), ("Hello",), "scripted", max_new_tokens=7), lambda *_: engine)
    limits = {request.purpose: request.sampling.max_new_tokens for request in generations(engine)}
    assert (limits["draft"], limits["revision"]) == (7, 7)
    assert limits["critique"] != 7
    shown = " ".join(here("try", "--help").stdout.split())
    assert f"those that end there are named. [default: {ANSWER_TOKENS}" in shown


def generations(engine: ScriptedEngine) -> list[GenerationRequest]:
    return [request for request in engine.history if isinstance(request, GenerationRequest)]


def test_worst_spends_no_round_on_a_rule_that_the_answer_keeps(rules: Path):
    rules.write_text("- {id: long, text: At most two words., check: {kind: max_words, value: 2}}\n" + KEPT)
    broken = Trial(str(rules), ("Hello",), "scripted", worst=True, rounds=2)
    ((result,),) = run_trial(broken).prompts
    assert {revision.principle_id for revision in result.trace.revisions} == {"long"}
    rules.write_text(KEPT)
    ((kept,),) = run_trial(broken).prompts
    assert not kept.trace.revisions
    ((drawn,),) = run_trial(replace(broken, worst=False)).prompts
    assert len(drawn.trace.revisions) in (0, 2)  # by early_stop: auto, which asks for the model's size
    with pytest.raises(ConfigError, match="found --principle as well"):
        run_trial(replace(broken, principles=("kept",)))
