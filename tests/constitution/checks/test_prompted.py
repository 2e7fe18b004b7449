"""The check for the language of the question, on every way that a check takes to an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Language
from constitution.checks.prompted import check_on, is_decidable
from constitution.draw import in_scope
from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.records import Comparison, Message, Prompt
from core.rewards import Sample
from critique.requests import AnswerToRevise
from evaluation.drift.reward_curve import share_of_checks
from labelers.check import check_judgments
from labelers.rewards import check_scores
from tests.publius.invoking import here

GERMAN_QUESTION = "Kann ich meine Bücher auch in einer anderen Filiale zurückgeben?"
ENGLISH_QUESTION = "Can I return my books to another branch of the library?"
GERMAN = "Ja, Sie können die Bücher in jeder unserer Filialen abgeben."
ENGLISH = "Yes, you can hand the books in at any of our branches."
SHORT = "DVD?"
SAME = Language(kind="language", value="same")
RULES = """\
name: desk
principles:
- id: tongue
  text: The reply is in the language of the question.
  check: {kind: language, value: same}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path / "rules.yaml"


@pytest.fixture
def constitution(rules: Path) -> Constitution:
    return load_constitution(str(rules))


@pytest.fixture
def principle(constitution: Constitution) -> Principle:
    return constitution.principles[0]


@pytest.mark.parametrize(
    ("question", "answer", "passes"),
    [
        (GERMAN_QUESTION, GERMAN, True),
        (GERMAN_QUESTION, ENGLISH, False),
        (ENGLISH_QUESTION, ENGLISH, True),
        (ENGLISH_QUESTION, GERMAN, False),
        (SHORT, GERMAN, True),
    ],
)
def test_an_answer_passes_in_the_language_of_the_question(question: str, answer: str, passes: bool):
    assert evaluate(check_on(SAME, question), answer).passed is passes


def test_the_last_message_of_the_user_is_the_question():
    roles = ("user", "assistant", "user")
    texts = (ENGLISH_QUESTION, ENGLISH, GERMAN_QUESTION)
    turns = (Message.model_validate({"role": r, "content": t}) for r, t in zip(roles, texts, strict=True))
    assert check_on(SAME, Prompt.of(tuple(turns))) == Language(kind="language", value="de")


def test_other_checks_are_the_same_for_every_question():
    german = Language(kind="language", value="de")
    assert check_on(german, ENGLISH_QUESTION) is german
    assert is_decidable(german, SHORT)


def test_a_question_that_shows_no_language_is_out_of_scope(principle: Principle):
    assert in_scope(principle, Prompt.of(GERMAN_QUESTION))
    assert not in_scope(principle, Prompt.of(SHORT))
    assert not is_decidable(principle.check, SHORT)


def test_labels_and_rewards_go_by_the_question(constitution: Constitution):
    for question, right, wrong in ((GERMAN_QUESTION, GERMAN, ENGLISH), (ENGLISH_QUESTION, ENGLISH, GERMAN)):
        prompt = Prompt.of(question)
        comparison = Comparison.of(prompt, (right, "x"), (wrong, "y"))
        (judgment,) = check_judgments(comparison, constitution, 0.95)
        assert {"a": comparison.response_a, "b": comparison.response_b}[judgment.verdict] == right
        scores = [check_scores(constitution, Sample(prompt, t, finished=True))[0][1] for t in (right, wrong)]
        assert scores[0] == 1.0 > scores[1]
        assert share_of_checks(constitution, prompt, wrong) == 0.0
    short = Comparison.of(Prompt.of(SHORT), (GERMAN, "x"), (ENGLISH, "y"))
    assert list(check_judgments(short, constitution, 0.95)) == []
    assert share_of_checks(constitution, short.prompt, GERMAN) is None


def test_a_critique_names_the_language_that_is_wrong(principle: Principle):
    wrong = AnswerToRevise(Prompt.of(GERMAN_QUESTION), ENGLISH, (principle,))
    assert wrong.findings == "it is not written in the language with the code de"
    assert AnswerToRevise(Prompt.of(ENGLISH_QUESTION), ENGLISH, (principle,)).findings is None


def test_check_reply_decides_with_the_question_and_says_when_it_cannot(rules: Path, tmp_path: Path):
    (tmp_path / "reply.txt").write_text(ENGLISH)
    reply = ("check", rules, "--reply", tmp_path / "reply.txt")
    done = here(*reply, "--prompt", GERMAN_QUESTION, "--json")
    (found,) = json.loads(done.stdout)["principles"]
    assert (found["outcome"], done.returncode) == ("failed", 1)
    done = here(*reply, "--prompt", SHORT)
    assert "tongue: not decided, the question is too short to tell its language" in " ".join(
        done.stderr.split()
    )
    assert "only for some prompts, so give --tag or --prompt: tongue" in here(*reply).stderr


def test_examples_are_tried_with_their_prompt(rules: Path):
    example = f"  examples: [{{prompt: '{GERMAN_QUESTION}', good: '{GERMAN}', bad: '{ENGLISH}'}}]\n"
    rules.write_text(RULES + example)
    done = here("check", rules, "--json")
    assert "L40" not in done.stdout
    assert here("test", rules).returncode == 0


def test_the_rule_in_words_is_offered_the_check(rules: Path):
    rules.write_text(RULES.replace("  check: {kind: language, value: same}\n", ""))
    done = here("check", rules)
    assert "check: {kind: language, value: same}" in " ".join((done.stdout + done.stderr).split())
