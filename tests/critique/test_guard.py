"""The guard, candidates and early stop: what is kept, by checks and by a judge, and what a trace says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.records import CritiqueTrace, Generation, Prompt, Sampling
from core.rewards import Sample
from critique.config import CritiqueConfig
from critique.guard import RevisionCandidate, Standing, best_of, standing_of
from critique.loop import CritiqueLoop
from critique.requests import WRITTEN_BY_CHECKS
from critique.scoring import AnswerScorer
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine

BRIEF = {"id": "brief", "text": "The reply is short.", "check": {"kind": "max_words", "value": 5}}
POLITE = {"id": "polite", "text": "It says please.", "check": {"kind": "contains", "value": ["please"]}}
KIND = {"id": "kind", "text": "The reply is kind."}
PROMPT = Prompt.of("What is this pill, and when do I take it?")
LONG = "This answer has many more than the five words."


def constitution(*principles: dict[str, object]) -> Constitution:
    return Constitution.model_validate({"name": "test", "principles": list(principles)})


def trace(
    answers: Iterable[str] | Callable[[GenerationRequest], str],
    document: Constitution,
    scorer: AnswerScorer | None = None,
    rules: str = "guarded",
    **config: object,
) -> tuple[CritiqueTrace, list[str]]:
    """Return the trace of a loop whose engine gives these answers, and the purposes of its requests."""
    engine = ScriptedEngine(answerer=answers) if callable(answers) else ScriptedEngine(answers)
    settings = CritiqueConfig.model_validate({"early_stop": "checks", "from_checks": True} | config)
    steps = CritiqueLoop(document, engine, engine, settings, scorer=scorer, rules=rules)
    found = asyncio.run(steps.trace(PROMPT))
    return found, [request.purpose for request in engine.history]


def answer(text: str, finish_reason: str = "stop") -> Generation:
    return Generation(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=1,
        completion_tokens=1,
        model="scripted",
        sampling=Sampling(),
    )


def attempt(
    number: int, mean: float = 1.0, broken: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> RevisionCandidate:
    return RevisionCandidate(
        number, answer(f"answer {number}"), flags, Standing({}, frozenset(), mean), broken
    )


def test_revision_that_breaks_a_check_is_not_kept_and_the_trace_says_which():
    document = constitution(KIND | {"section": "a"}, BRIEF | {"section": "b"}, POLITE | {"section": "b"})
    found, _ = trace(["Yes please.", "Longer.", LONG], document, rounds=1, principles="section")
    (only,) = found.revisions
    assert (only.kept, only.dropped, only.broken) == (False, "guard", ("brief", "polite"))
    assert found.answers()[-1].text == "Yes please."


def test_guard_off_keeps_what_breaks_a_check_and_still_records_it():
    document = constitution(KIND | {"section": "a"}, BRIEF | {"section": "b"})
    found, _ = trace(["Yes.", "Say more.", LONG], document, rounds=1, principles="section", guard=False)
    (only,) = found.revisions
    assert (only.kept, only.dropped, only.broken) == (True, None, ("brief",))
    assert found.answers()[-1].text == LONG


def test_check_that_the_answer_never_passed_can_be_broken_again():
    document = constitution(KIND | {"section": "a"}, BRIEF | {"section": "b"})
    found, _ = trace([LONG, "Say more.", LONG + " More."], document, rounds=1, principles="section")
    assert found.revisions[0].kept
    assert found.revisions[0].broken == ()


def test_guard_keeps_what_earlier_rounds_gained_in_every_round():
    document = constitution(KIND)
    rounds = iter(
        [LONG, "c", "Please wait.", "c", "Please wait a bit now today friend.", "c", "Please do wait."]
    )
    checked = constitution(KIND | {"weight": 1e9}, BRIEF)
    found, _ = trace(lambda request: next(rounds), checked, rounds=3, early_stop="off")
    assert [revision.kept for revision in found.revisions] == [True, False, True]
    assert [a.text for a in found.answers()] == [LONG, "Please wait.", "Please do wait."]
    assert document != checked


@pytest.mark.parametrize(
    ("critique", "revision", "flag"),
    [
        (
            "A pill is a small round dose of medicine.",
            "A pill is a small round dose of medicine.",
            "critique_copied",
        ),
        ("Be short.", "My reply should be shorter.", "talks_about_the_reply"),
        ("Be short.", "What is this pill, and when do I take it?", "question_copied"),
        ("Be short.", "the pill is here " * 30, "repeats_itself"),
        (
            "Be short.",
            "Das ist eine kleine runde Tablette, die man mit einem Glas Wasser am Abend einnehmen soll.",
            "language_changed",
        ),
    ],
)
def test_revision_that_degrades_the_answer_is_discarded_by_the_guard_alone(
    critique: str, revision: str, flag: str
):
    draft = "This is a small tablet that you should take in the evening with a glass of cold water."
    kept = {}
    for guard in (True, False):
        found, _ = trace([draft, critique, revision], constitution(KIND), rounds=1, guard=guard)
        assert flag in found.revisions[0].flags
        kept[guard] = (found.revisions[0].kept, found.revisions[0].dropped)
    assert kept == {True: (False, "guard"), False: (True, None)}


def test_revision_that_fails_the_check_of_its_own_principle_by_more_is_not_kept():
    drafted = "One two three four five six."
    for revised, kept in ((f"{drafted} Seven.", False), ("One two three four five six", True)):
        found, _ = trace([drafted, revised], constitution(BRIEF), rounds=1)
        assert (found.revisions[0].kept, found.revisions[0].broken) == (kept, ())
    # A principle that is newly fulfilled, or another principle's round, is a gain all the same.
    both = constitution(BRIEF, POLITE)
    found, _ = trace([drafted, f"{drafted} Please."], both, rounds=1, principles="all")
    assert found.revisions[0].kept
    found, _ = trace([drafted, "Be kind.", f"{drafted} Friend."], constitution(KIND | {"weight": 1e9}, BRIEF))
    assert found.revisions[0].kept


GERMAN = {"id": "german", "text": "The reply is in German.", "check": {"kind": "language", "value": "de"}}
DISCLAIMER = "I am a small model and may be wrong"
CAREFUL = {"id": "careful", "text": "It warns.", "check": {"kind": "contains", "value": [DISCLAIMER]}}


@pytest.mark.parametrize(
    ("principle", "draft", "revision"),
    [
        (
            GERMAN,
            "This is a small tablet that you should take in the evening with a glass of cold water.",
            "Das ist eine kleine runde Tablette, die man mit einem Glas Wasser am Abend einnehmen soll.",
        ),
        (CAREFUL, "Paris.", f"Paris. {DISCLAIMER}."),
    ],
)
def test_revision_that_repairs_what_a_check_asks_for_is_kept(
    principle: dict[str, object], draft: str, revision: str
):
    found, _ = trace([draft, revision], constitution(principle), rounds=1)
    assert (found.revisions[0].kept, found.revisions[0].flags) == (True, ())
    assert found.answers()[-1].text == revision


def test_flag_in_drop_discards_whatever_the_guard_says():
    found, _ = trace(
        ["Yes.", "c", "I cannot help with that."], constitution(KIND), rounds=1, drop=["refused"]
    )
    assert found.revisions[0].dropped == "flags"


def test_best_candidate_is_one_that_is_kept_then_the_one_with_the_best_score_then_the_first():
    config = CritiqueConfig()
    assert best_of([attempt(0, 0.5), attempt(1, 0.9), attempt(2, 0.9)], config).number == 1
    assert best_of([attempt(0, 0.9, broken=("x",)), attempt(1, 0.2)], config).number == 1
    assert best_of([attempt(0, 0.9, flags=("empty",)), attempt(1, 0.2)], config).number == 1
    assert best_of([attempt(0, 0.1, broken=("x",)), attempt(1, 0.2, broken=("x",))], config).number == 1


def test_best_candidate_comes_last_and_becomes_the_answer():
    texts = iter([LONG, LONG + " One.", "Three words only.", LONG + " Two."])
    document = constitution(BRIEF)
    found, purposes = trace(lambda request: next(texts), document, rounds=1, candidates=3)
    assert purposes == ["draft", "revision", "revision", "revision"]
    assert [c.text for c in found.revisions[0].candidates] == [
        LONG + " One.",
        LONG + " Two.",
        "Three words only.",
    ]
    assert found.answers()[-1].text == "Three words only."


def test_first_candidate_has_the_request_that_it_has_alone():
    engines = []
    for count in (1, 3):
        engine = ScriptedEngine()
        config = CritiqueConfig(rounds=1, candidates=count)
        asyncio.run(CritiqueLoop(constitution(KIND), engine, engine, config).trace(PROMPT))
        engines.append({engine.key(request) for request in engine.history})
    assert engines[0] < engines[1]
    assert len(engines[1]) == 5


def test_round_whose_check_passes_is_skipped_and_asks_nothing():
    found, purposes = trace(["Yes."], constitution(BRIEF), rounds=3)
    assert (found.revisions, purposes) == ((), ["draft"])


def test_round_of_a_passing_check_runs_without_early_stop():
    found, purposes = trace(["Yes.", "c", "No."] * 2, constitution(BRIEF), rounds=2, early_stop="off")
    assert purposes == ["draft", "critique", "revision", "critique", "revision"]
    assert len(found.revisions) == 2


def test_critique_without_a_fault_ends_the_round_before_the_revision():
    answers = ["A pill.", "Nothing in it breaks the principle."]
    found, purposes = trace(answers, constitution(KIND), rounds=1, early_stop="critique", begin="none")
    assert purposes == ["draft", "critique"]
    (only,) = found.revisions
    assert (only.kept, only.flags, only.dropped) == (False, ("no_fault",), None)
    assert only.critique is not None
    assert only.critique.text.endswith(answers[1])
    assert only.candidates == (found.initial,)


@pytest.mark.parametrize(
    ("principle", "critique"),
    [(KIND, "My last reply does not fully follow this principle."), (BRIEF | {"text": "No errors."}, None)],
)
def test_critique_with_a_fault_never_ends_the_round(principle: dict[str, object], critique: str | None):
    answers = [LONG, *([critique] if critique else []), "Three words only."]
    found, _ = trace(answers, constitution(principle), rounds=1, early_stop="critique", begin="none")
    assert found.answers()[-1].text == answers[-1]


def test_critique_without_a_fault_does_not_end_a_round_by_default():
    _, purposes = trace(["A pill.", "No fault found.", "A tablet."], constitution(KIND), rounds=1)
    assert purposes == ["draft", "critique", "revision"]


def test_failed_check_writes_the_critique_without_a_request():
    found, purposes = trace([LONG, "Three words only."], constitution(BRIEF), rounds=1)
    assert purposes == ["draft", "revision"]
    critique = found.revisions[0].critique
    assert critique is not None
    assert critique.text == "My last reply breaks this principle: it has 9 words, and the limit is 5."
    assert (critique.model, critique.completion_tokens, critique.prompt_tokens) == (WRITTEN_BY_CHECKS, 0, 0)


@pytest.mark.parametrize("own", [{"critique": "Where is it long?"}, {}])
def test_model_criticises_where_it_is_wanted(own: dict[str, str]):
    config = {} if own else {"from_checks": False}
    _, purposes = trace([LONG, "c", "Three words only."], constitution(BRIEF | own), rounds=1, **config)
    assert purposes == ["draft", "critique", "revision"]


def test_rounds_by_the_first_rules_are_those_of_older_runs():
    engine = ScriptedEngine(["Yes.", "c", LONG, "c", LONG + " More."])
    document = constitution(BRIEF)
    steps = CritiqueLoop(document, engine, engine, CritiqueConfig(rounds=2), rules="first", begun=False)
    found = asyncio.run(steps.trace(PROMPT))
    purposes = [request.purpose for request in engine.history]
    assert purposes == ["draft", "critique", "revision", "critique", "revision"]
    assert engine.history[1].prefill == "To follow this principle, my reply should"
    assert [(r.kept, r.broken, r.dropped) for r in found.revisions] == [(True, (), None), (True, (), None)]
    assert {"broken", "dropped", "others"}.isdisjoint(found.revisions[0].model_dump(exclude_none=True))


class Judge:
    """A labeler's reward by the words that an answer has."""

    def __init__(self, document: Constitution) -> None:
        self.document = document

    async def by_principle(self, sample: Sample) -> Sequence[tuple[Principle, float]]:
        judged = [p for p in self.document.principles if p.check is None and in_scope(p, sample.prompt)]
        return [(p, 0.9 if p.id in sample.text else 0.1) for p in judged]


def test_judge_decides_about_principles_without_a_check():
    document = constitution({"id": "calm", "text": "Calm."}, {"id": "warm", "text": "Warm."})
    scorer = AnswerScorer(document, Judge(document))  # type: ignore[arg-type]
    texts = ["It is calm.", "c", "It is warm.", "c", "It is calm and warm."]
    found, _ = trace(texts, document, scorer, rounds=2, judge=True)
    assert [(r.kept, r.broken) for r in found.revisions] == [(False, ("calm",)), (True, ())]


def test_empty_answer_fulfils_nothing():
    standing = asyncio.run(standing_of(AnswerScorer(constitution(BRIEF)), PROMPT, answer("")))
    assert standing.met == frozenset()


def test_answer_without_scores_has_the_full_mean_and_breaks_nothing():
    standing = asyncio.run(standing_of(AnswerScorer(constitution(KIND)), PROMPT, answer("Yes.")))
    assert (standing.mean, standing.broken_by(standing)) == (1.0, ())


@pytest.mark.parametrize("begun", [True, False])
def test_auto_spares_requests_only_for_critics_that_follow_instructions(begun: bool):
    for draft, asked in (
        (LONG, ["draft", "critique", "revision"]),
        ("Yes.", ["draft", "critique", "revision"]),
    ):
        engine = ScriptedEngine([draft, "Three words only.", "Two words."])
        document = constitution(BRIEF)
        steps = CritiqueLoop(document, engine, engine, CritiqueConfig(rounds=1), begun=begun)
        asyncio.run(steps.trace(PROMPT))
        spared = ["draft", "revision"] if draft == LONG else ["draft"]
        assert [request.purpose for request in engine.history] == (asked if begun else spared)
