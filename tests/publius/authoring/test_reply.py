"""`publius check --reply`: checks exactly, judged principles with a model, and what is left undecided."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from core.errors import ConfigError
from engines.embedded import EMBEDDED_NAME
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from publius.authoring.reply import ReplyRequest, check_reply
from publius.views.reply import print_reply
from tests.publius.invoking import here

RULES = """\
name: desk
principles:
- {id: short, text: At most five words., check: {kind: max_words, value: 5}}
- {id: asks, text: Ends with a question., check: {kind: ends_with_question, value: true}}
- {id: calm, text: No digits., applies_to: {tags: [calm]}, check: {kind: not_regex, value: '[0-9]'}}
- {id: refunds, text: Names no sum., applies_to: {pattern: refund}, check: {kind: not_regex, value: '€'}}
- {id: kind, text: The reply is kind.}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "reply.txt").write_text("We cannot tell you that before Monday, 9 €.\n", encoding="utf-8")
    return tmp_path


def outcomes(request: ReplyRequest) -> dict[str, str]:
    return {found.principle: found.outcome for found in check_reply(request).outcomes}


def test_failed_checks_say_why_and_end_with_exit_code_1(folder: Path):
    done = here("check", "rules.yaml", "--reply", "reply.txt")
    assert done.returncode == 1
    lines = [line.rstrip().split(maxsplit=2) for line in done.stdout.splitlines()]
    assert lines[0] == ["fail", "short", "it has 8 words, and the limit is 5"]
    assert lines[1] == ["fail", "asks", "it does not end with a question"]
    assert done.stdout.endswith("desk: 0 of 2 checks passed\n")
    assert "1 not decided by a check (kind)" in done.stderr
    assert "calm, refunds" in done.stderr


def test_a_reply_that_keeps_the_checks_ends_with_exit_code_0(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Shall we call you?\n")))
    done = here("check", "rules.yaml", "--reply", "-", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["counts"] == {"passed": 2, "unknown": 2, "not_asked": 1}


def test_a_rule_that_excepts_some_prompts_is_not_decided_without_one(folder: Path):
    short = "check: {kind: max_words, value: 5}"
    (folder / "rules.yaml").write_text(
        f"- {{id: gas, text: A., {short}, except: {{pattern: gas}}}}\n"
        f"- {{id: vip, text: A., {short}, except: {{tags: [vip]}}}}\n"
        f"- {{id: both, text: A., {short}, except: {{tags: [vip], pattern: gas}}}}\n"
    )
    expected = {
        (): ("unknown", "unknown", "unknown"),
        ("vip",): ("unknown", "elsewhere", "unknown"),
        ("new",): ("unknown", "failed", "failed"),
    }
    for tags, outcome in expected.items():
        assert tuple(outcomes(ReplyRequest("rules.yaml", "reply.txt", tags=tags)).values()) == outcome
    assert outcomes(ReplyRequest("rules.yaml", "reply.txt", "Bill?"))["gas"] == "failed"


def test_prompt_and_tags_decide_which_principles_apply(folder: Path):
    request = ReplyRequest("rules.yaml", "reply.txt", "Where is my refund?", ("calm",))
    assert outcomes(request) == {
        "short": "failed",
        "asks": "failed",
        "calm": "failed",
        "refunds": "failed",
        "kind": "not_asked",
    }
    other = ReplyRequest("rules.yaml", "reply.txt", "Hello", ("angry",))
    assert [outcomes(other)[name] for name in ("calm", "refunds")] == ["elsewhere", "elsewhere"]


def test_rules_for_other_prompts_are_named(folder: Path):
    done = here("check", "rules.yaml", "--reply", "reply.txt", "--prompt", "Hello", "--tag", "calm")
    assert "1 not for this prompt: refunds" in done.stderr


def test_a_model_judges_what_no_check_decides(folder: Path):
    asked = []

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        asked.append(request)
        return (-0.2231435513142097, -1.6094379124341003)  # yes 0.8, no 0.2

    request = ReplyRequest("rules.yaml", "reply.txt", "Hello", model="some-model")
    found = check_reply(request, lambda *_: ScriptedEngine(chooser=choose))
    (kind,) = [outcome for outcome in found.outcomes if outcome.principle == "kind"]
    assert kind.outcome == "judged"
    assert kind.p == pytest.approx(0.8)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("model", "caveat"),
    [
        (EMBEDDED_NAME, "the embedded model judges no better than chance"),
        ("some-model", "unaudited: how often some-model (pointwise) is right was not measured"),
    ],
)
def test_what_is_known_against_the_judge_comes_before_its_judgments(
    folder: Path, caplog: pytest.LogCaptureFixture, model: str, caveat: str
):
    request = ReplyRequest("rules.yaml", "reply.txt", "Hello", model=model)
    found = check_reply(request, lambda *_: ScriptedEngine(model=model, chooser=lambda _: (-0.1, -2.5)))
    (said,) = found.as_json()["caveats"]
    assert said.startswith(caveat)
    print_reply(found)
    assert said in caplog.messages


def test_nothing_is_said_against_a_judge_that_was_not_asked(folder: Path):
    assert check_reply(ReplyRequest("rules.yaml", "reply.txt")).as_json()["caveats"] == []
    made_up = ReplyRequest("rules.yaml", "reply.txt", "Hello", model="scripted")
    assert check_reply(made_up).caveats == ()  # the command says that the engine makes up all judgments


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (ReplyRequest("rules.yaml", "empty.txt"), "the reply is empty"),
        (ReplyRequest("rules.yaml", "none.txt"), "no such file"),
        (ReplyRequest("rules.yaml", "reply.txt", model="scripted"), "a model judges a reply to a message"),
    ],
)
def test_bad_input_is_told(folder: Path, request_: ReplyRequest, what: str):
    (folder / "empty.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=what):
        check_reply(request_)


def test_options_of_a_reply_require_one(folder: Path):
    done = here("check", "rules.yaml", "--prompt", "Hello")
    assert done.returncode == 2
    assert "--prompt and --tag require --reply" in done.stderr


def test_the_words_that_a_pattern_found_are_named(folder: Path):
    pattern = RULES.replace("[0-9]", "(?i)cannot|monday").replace("applies_to: {tags: [calm]}, ", "")
    (folder / "rules.yaml").write_text(pattern)
    done = here("check", "rules.yaml", "--reply", "reply.txt")
    said = " ".join(done.stdout.split())
    assert 'fail calm it has "cannot" and "Monday"' in said
    assert "regular expression" not in said
    told = here("check", "rules.yaml", "--reply", "reply.txt", "--json").stdout
    assert "it has text that the regular expression (?i)cannot|monday finds" in told
    assert "fail short it has 8 words" in said
    shown = {
        found.principle: found.matched
        for found in check_reply(ReplyRequest("rules.yaml", "reply.txt")).outcomes
    }
    assert (shown["calm"], shown["short"]) == (("cannot", "Monday"), ())


def test_rules_without_a_check_do_not_read_like_a_pass(folder: Path):
    (folder / "words.yaml").write_text("- The reply is kind.\n- The reply is honest.\n")
    done = here("check", "words.yaml", "--reply", "reply.txt")
    assert "no rule has a check, so nothing is decided; publius check CONSTITUTION" in " ".join(
        done.stdout.split()
    )
    (folder / "calm.yaml").write_text(
        "- {text: No digits., applies_to: {tags: [calm]}, check: {kind: not_regex, value: x}}"
    )
    done = here("check", "calm.yaml", "--reply", "reply.txt", "--tag", "other")
    assert "no check is for this prompt, so none decided anything" in done.stdout
    assert "of 0 checks" not in done.stdout


def test_a_tag_that_no_rule_has_is_warned_of(folder: Path):
    done = here("check", "rules.yaml", "--reply", "reply.txt", "--tag", "Calm")
    assert "no rule is for the tag 'Calm'; the rules have one of: calm (did you mean 'calm'?)" in " ".join(
        done.stderr.split()
    )
    assert "no rule is for" not in here("check", "rules.yaml", "--reply", "reply.txt", "--tag", "calm").stderr


def test_tags_beside_rules_without_tags_are_one_note(folder: Path):
    (folder / "words.yaml").write_text("- The reply is kind.\n")
    tags = [word for tag in "abcd" for word in ("--tag", tag)]
    done = here("check", "words.yaml", "--reply", "reply.txt", *tags)
    assert "the rules have no tags, so 'a', 'b', 'c', ... select none" in " ".join(done.stderr.split())
    assert "warning" not in done.stderr
    many = here("check", "rules.yaml", "--reply", "reply.txt", *tags)
    assert many.stderr.count("no rule is for the tag") == 3
    assert "no rule is for 1 more tag" in many.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252", "utf-8-sig"])
def test_a_reply_is_read_whatever_an_editor_saved_it_as(folder: Path, encoding: str):
    (folder / "reply.txt").write_bytes("Zu groß für Möwen?".encode(encoding))
    assert outcomes(ReplyRequest("rules.yaml", "reply.txt"))["asks"] == "passed"


def test_a_reply_in_utf_16_may_come_from_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Shall we?".encode("utf-16"))))
    assert outcomes(ReplyRequest("rules.yaml", "-"))["asks"] == "passed"


def test_a_rule_that_is_only_measured_is_judged_too(folder: Path):
    rules = RULES.replace("{id: kind,", "{id: kind, weight: 0,")
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    request = ReplyRequest("rules.yaml", "reply.txt", "Hello", model="some-model")
    found = check_reply(request, lambda *_: ScriptedEngine(chooser=lambda _: (-0.1, -2.5)))
    (kind,) = [outcome for outcome in found.outcomes if outcome.principle == "kind"]
    assert kind.outcome == "judged"
