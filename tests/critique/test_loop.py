"""The loop: what each request shows, what an edit of the constitution touches, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from constitution.draw import draw
from constitution.schema import Constitution, Principle, Scope
from core.records import CritiqueTrace, Message, Prompt
from critique.config import CritiqueConfig
from critique.loop import CritiqueLoop
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from prompts.environment import PromptTemplates

TEXTS = {
    "honest": "The reply is honest about what it does not know.",
    "kind": "The reply is kind to a tired reader.",
    "short": "The reply is short.",
}

# Fixed here, so that the shipped wording can be improved without touching what these tests are about.
PLAIN = PromptTemplates(
    {
        "critique": "{% block user %}Criticise: {{ principle.text }}{% endblock %}",
        "revision": "{% block user %}Rewrite: {{ principle.text }}{% endblock %}",
        "comparison": "{% block user %}Which?{% endblock %}",
    }
)


def constitution(texts: dict[str, str] = TEXTS, preamble: str = "", **fields: object) -> Constitution:
    """A constitution; `fields` go to every principle."""
    principles = [Principle.model_validate({"id": i, "text": t, **fields}) for i, t in texts.items()]
    return Constitution(name="test", preamble=preamble, principles=tuple(principles))


def prompt(text: str = "What is this pill?", *before: tuple[str, str], tags: tuple[str, ...] = ()) -> Prompt:
    turns = (*before, ("user", text))
    return Prompt.of(tuple(Message.model_validate({"role": r, "content": c}) for r, c in turns), tags=tags)


def by_purpose(request: GenerationRequest) -> str:
    """An answer that depends on the seed, and not on how the request is worded."""
    return f"{request.purpose} {request.seed}"


def loop(
    engine: ScriptedEngine,
    document: Constitution | None = None,
    critic: ScriptedEngine | None = None,
    seed: int = 0,
    templates: PromptTemplates | None = None,
    **config: object,
) -> CritiqueLoop:
    return CritiqueLoop(
        constitution=document or constitution(),
        templates=templates or PromptTemplates(),
        config=CritiqueConfig.model_validate(config),
        policy=engine,
        critic=critic or engine,
        seed=seed,
    )


def requests(engine: ScriptedEngine, purpose: str | None = None) -> list[GenerationRequest]:
    """The generation requests that the engine was given, in order."""
    return [r for r in engine.history if isinstance(r, GenerationRequest) and purpose in (None, r.purpose)]


def shown(request: GenerationRequest) -> str:
    return "\n".join(turn.text for turn in request.turns)


def run(engine: ScriptedEngine, document: Constitution, prompts: Iterable[Prompt]) -> dict[str, str]:
    """Return what every request showed, by its key, after the loop has run over the prompts."""
    steps = loop(engine, document)
    for one in prompts:
        asyncio.run(steps.trace(one))
    return {engine.key(request): shown(request) for request in requests(engine)}


def test_draft_request_does_not_depend_on_the_constitution():
    keys = []
    for document in (constitution(), constitution({"brave": "The reply is brave."}, preamble="We care.")):
        engine = ScriptedEngine()
        asyncio.run(loop(engine, document).trace(prompt()))
        keys.append(engine.key(requests(engine, "draft")[0]))
    assert keys[0] == keys[1]


def test_draft_request_is_the_conversation_and_nothing_more():
    engine = ScriptedEngine()
    asyncio.run(loop(engine).draft(prompt("And now?", ("user", "Hello"), ("assistant", "Hi"))))
    (request,) = requests(engine)
    assert [(turn.role, turn.text) for turn in request.turns] == [
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "And now?"),
    ]
    assert request.prefill == ""


def test_policy_drafts_and_critic_does_the_rest():
    policy, critic = ScriptedEngine(model="policy"), ScriptedEngine(model="critic")
    trace = asyncio.run(loop(policy, critic=critic).trace(prompt()))
    assert [r.purpose for r in requests(policy)] == ["draft"]
    assert [r.purpose for r in requests(critic)] == ["critique", "revision"] * 2
    assert trace.initial.model == "policy"
    assert trace.revisions[0].candidates[0].model == trace.revisions[0].critique.model == "critic"


def test_each_round_shows_the_text_of_its_principle_and_of_no_other():
    engine = ScriptedEngine()
    for number in range(10):
        engine.history.clear()
        trace = asyncio.run(loop(engine, rounds=3).trace(prompt(f"Question {number}?")))
        asked = zip(requests(engine, "critique"), requests(engine, "revision"), trace.revisions, strict=True)
        for critique, revision, result in asked:
            for request in (critique, revision):
                assert {i for i, text in TEXTS.items() if text in shown(request)} == {result.principle_id}


def test_principles_are_those_of_the_draw():
    trace = asyncio.run(loop(ScriptedEngine(), seed=3, rounds=4).trace(prompt()))
    pool = constitution().principles
    assert [(r.round, r.principle_id) for r in trace.revisions] == [
        (n, draw(pool, 1, 3, prompt().id, n)[0].id) for n in range(1, 5)
    ]


def test_revision_request_goes_on_from_the_critique():
    engine = ScriptedEngine(["Take two.", "It names no limit.", "Take one a day."])
    trace = asyncio.run(loop(engine, rounds=1, templates=PLAIN).trace(prompt()))
    text = TEXTS[trace.revisions[0].principle_id]
    critique, revision = requests(engine, "critique")[0], requests(engine, "revision")[0]
    assert [(turn.role, turn.text) for turn in revision.turns] == [
        ("user", "What is this pill?"),
        ("assistant", "Take two."),
        ("user", f"Criticise: {text}"),
        ("assistant", "It names no limit."),
        ("user", f"Rewrite: {text}"),
    ]
    assert revision.turns[:3] == critique.turns  # a prefix that the engine has read already
    assert trace.revisions[0].critique.text == "It names no limit."
    assert [answer.text for answer in trace.answers()] == ["Take two.", "Take one a day."]


def test_critique_whose_beginning_is_given_is_recorded_and_shown_with_it():
    given = "{% block user %}Criticise.{% endblock %}{% block prefill %}My reply should{% endblock %}"
    engine = ScriptedEngine(["Take two.", "name a limit.", "Take one a day."])
    templates = PromptTemplates({"critique": given, "revision": PLAIN.sources["revision"]})
    trace = asyncio.run(loop(engine, rounds=1, templates=templates).trace(prompt()))
    assert requests(engine, "critique")[0].prefill == "My reply should"
    assert requests(engine, "revision")[0].prefill == ""
    assert trace.revisions[0].critique.text == "My reply should name a limit."
    assert requests(engine, "revision")[0].turns[3].text == "My reply should name a limit."
    assert trace.answers()[-1].text == "Take one a day."


def test_next_round_starts_from_the_revision_and_forgets_the_draft():
    engine = ScriptedEngine(["Draft.", "Critique one.", "Second.", "Critique two.", "Third."])
    trace = asyncio.run(loop(engine, rounds=2).trace(prompt()))
    later = requests(engine, "critique")[1]
    assert [t.text for t in later.turns[:2]] == ["What is this pill?", "Second."]
    assert "Draft." not in shown(later)
    assert "Critique one." not in shown(later)
    assert [a.text for a in trace.answers()] == ["Draft.", "Second.", "Third."]


@pytest.mark.parametrize(
    ("dropped", "flag"),
    [
        ("Draft.", "unchanged"),
        ("", "empty"),
        ("Revised reply: Second.", "prefix_leak"),
        ("a b c d e", "truncated"),
    ],
)
def test_dropped_revision_leaves_the_answer_before_it_standing(dropped: str, flag: str):
    engine = ScriptedEngine(["Draft.", "Critique one.", dropped, "Critique two.", "Third."])
    steps = loop(engine, rounds=2, revision={"max_new_tokens": 4})
    trace = asyncio.run(steps.trace(prompt()))
    first, second = trace.revisions
    assert (first.kept, first.flags) == (False, (flag,))
    assert (second.kept, second.flags) == (True, ())
    assert requests(engine, "critique")[1].turns[1].text == "Draft."
    assert [a.text for a in trace.answers()] == ["Draft.", "Third."]


def test_flag_that_is_not_to_be_dropped_is_recorded_and_the_revision_kept():
    engine = ScriptedEngine(["Draft.", "Critique.", "Revised reply: Second."])
    trace = asyncio.run(loop(engine, rounds=1, drop=["empty"]).trace(prompt()))
    assert (trace.revisions[0].kept, trace.revisions[0].flags) == (True, ("prefix_leak",))
    assert trace.answers()[-1].text == "Revised reply: Second."


def test_trace_whose_revisions_were_all_dropped_answers_with_its_draft():
    engine = ScriptedEngine(answerer=lambda request: "Always the same.")
    trace = asyncio.run(loop(engine, rounds=3).trace(prompt()))
    assert len(trace.revisions) == 3
    assert trace.answers() == (trace.initial,)


def test_multi_turn_prompt_is_kept_whole_in_every_request():
    whole = prompt("And now?", ("system", "You are a nurse."), ("user", "Hello"), ("assistant", "Hi"))
    engine = ScriptedEngine()
    asyncio.run(loop(engine).trace(whole))
    assert len(requests(engine)) == 5
    for request in requests(engine):
        assert [(t.role, t.text) for t in request.turns[:4]] == [(m.role, m.content) for m in whole.messages]


def test_text_of_others_is_untrusted_and_text_of_ours_is_not():
    engine = ScriptedEngine(["The draft.", "The critique.", "The revision."])
    asked = prompt("The prompt?", ("system", "The system."))
    asyncio.run(loop(engine, rounds=1, templates=PLAIN).trace(asked))
    pieces = [piece for turn in requests(engine, "revision")[0].turns for piece in turn.pieces]
    theirs = [piece.text for piece in pieces if not isinstance(piece, str)]
    assert theirs == ["The system.", "The prompt?", "The draft.", "The critique."]


def test_seeds_are_different_and_do_not_change():
    engine = ScriptedEngine()
    asyncio.run(loop(engine).trace(prompt()))
    assert [(r.purpose, r.seed) for r in requests(engine)] == [
        ("draft", 558597866517981),
        ("critique", 772894854159360),
        ("revision", 8724504126550803),
        ("critique", 911478158587419),
        ("revision", 3421698643511818),
    ]
    asyncio.run(loop(engine).trace(prompt("Another?")))
    asyncio.run(loop(engine, seed=1).trace(prompt()))
    seeds = [r.seed for r in requests(engine)]
    assert len(set(seeds)) == len(seeds) == 15


def test_seeds_do_not_depend_on_the_constitution():
    seeds = []
    for document in (constitution(), constitution({"brave": "The reply is brave."})):
        engine = ScriptedEngine()
        asyncio.run(loop(engine, document).trace(prompt()))
        seeds.append([r.seed for r in requests(engine)])
    assert seeds[0] == seeds[1]


def test_each_step_has_its_own_sampling():
    engine = ScriptedEngine()
    asyncio.run(loop(engine, rounds=1, critique={"temperature": 0.0, "max_new_tokens": 9}).trace(prompt()))
    assert [(r.sampling.temperature, r.sampling.max_new_tokens) for r in requests(engine)] == [
        (1.0, 768),
        (0.0, 9),
        (0.7, 768),
    ]


def test_principles_out_of_scope_are_never_drawn():
    narrow = Principle(id="narrow", text="The reply names a doctor.", applies_to=Scope(tags=("medicine",)))
    wide = Principle(id="wide", text="The reply is short.")
    document = Constitution(name="test", principles=(narrow, wide))
    drawn = {
        tags: {
            revision.principle_id
            for number in range(10)
            for revision in asyncio.run(
                loop(ScriptedEngine(), document).trace(prompt(f"Question {number}?", tags=tags))
            ).revisions
        }
        for tags in ((), ("medicine",))
    }
    assert drawn == {(): {"wide"}, ("medicine",): {"narrow", "wide"}}


def test_no_principle_in_scope_means_no_revisions():
    engine = ScriptedEngine(["Only a draft."])
    document = constitution(applies_to={"tags": ["medicine"]})
    trace = asyncio.run(loop(engine, document).trace(prompt()))
    assert trace.revisions == ()
    assert [a.text for a in trace.answers()] == ["Only a draft."]
    assert [r.purpose for r in requests(engine)] == ["draft"]


def test_no_rounds_mean_no_revisions():
    trace = asyncio.run(loop(ScriptedEngine(), rounds=0).trace(prompt()))
    assert trace.revisions == ()


def test_own_requests_of_a_principle_replace_the_derived_ones():
    derived, own = ScriptedEngine(), ScriptedEngine()
    document = constitution(critique="Where does the reply guess?", revision="Write it without guesses.")
    asyncio.run(loop(derived, rounds=1).trace(prompt()))
    asyncio.run(loop(own, document, rounds=1).trace(prompt()))
    for purpose, request in (("critique", "Where does the reply guess?"), ("revision", "without guesses.")):
        lines = requests(derived, purpose)[0].turns[-1].text.splitlines()
        others = requests(own, purpose)[0].turns[-1].text.splitlines()
        assert any(request in line for line in others)
        assert len(set(lines) - set(others)) == 1  # the one line that was derived


@pytest.mark.parametrize("purpose", ["critique", "revision"])
def test_preamble_is_shown_where_there_is_one(purpose: str):
    with_preamble, without = ScriptedEngine(), ScriptedEngine()
    asyncio.run(loop(with_preamble, constitution(preamble="We run a pharmacy."), rounds=1).trace(prompt()))
    asyncio.run(loop(without, rounds=1).trace(prompt()))
    one, two = (requests(engine, purpose)[0] for engine in (with_preamble, without))
    assert one.turns[2].text == f"We run a pharmacy.\n\n{two.turns[2].text}"
    assert shown(one).count("We run a pharmacy.") == 1


def test_text_of_others_is_never_read_as_a_template():
    engine = ScriptedEngine(["{{ principle.text }}", "{% raw %}", "{# gone #} {{ 7 * 7 }}"])
    trace = asyncio.run(loop(engine, rounds=1).trace(prompt("{{ preamble }}")))
    turns = requests(engine, "revision")[0].turns
    assert (turns[0].text, turns[1].text) == ("{{ preamble }}", "{{ principle.text }}")
    assert turns[3].text.endswith("{% raw %}")
    assert trace.answers()[-1].text == "{# gone #} {{ 7 * 7 }}"


def test_one_changed_word_changes_only_the_requests_that_show_it():
    prompts = [prompt(f"Question {number}?") for number in range(30)]
    reworded = {**TEXTS, "kind": TEXTS["kind"].replace("tired", "weary")}
    before = run(ScriptedEngine(answerer=by_purpose), constitution(), prompts)
    after = run(ScriptedEngine(answerer=by_purpose), constitution(reworded), prompts)
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    assert gone == {key for key, text in before.items() if TEXTS["kind"] in text}
    assert come == {key for key, text in after.items() if reworded["kind"] in text}
    assert len(gone) == len(come) > 0
    assert len(before.keys() & after.keys()) > len(before) / 2


def test_added_principle_changes_only_the_rounds_that_it_wins():
    prompts = [prompt(f"Question {number}?") for number in range(30)]
    added = {**TEXTS, "brave": "The reply is brave."}
    before = run(ScriptedEngine(answerer=by_purpose), constitution(), prompts)
    after = run(ScriptedEngine(answerer=by_purpose), constitution(added), prompts)
    come = after.keys() - before.keys()
    assert come == {key for key, text in after.items() if added["brave"] in text}
    assert 0 < len(come) < len(after) / 2


def test_same_trace_comes_out_again():
    traces = [asyncio.run(loop(ScriptedEngine()).trace(prompt())) for _ in range(2)]
    assert traces[0].to_line() == traces[1].to_line()
    assert CritiqueTrace.model_validate_json(traces[0].to_line()).to_line() == traces[0].to_line()


def test_trace_id_follows_all_that_determines_the_trace():
    base = asyncio.run(loop(ScriptedEngine()).trace(prompt()))
    reworded = constitution({**TEXTS, "kind": "The reply is gentle."})
    others = [
        loop(ScriptedEngine(), seed=1),
        loop(ScriptedEngine(), reworded),
        loop(ScriptedEngine(), rounds=1),
        loop(ScriptedEngine(), draft={"temperature": 0.5}),
        loop(ScriptedEngine(), templates=PLAIN),
    ]
    ids = [asyncio.run(other.trace(prompt())).id for other in others]
    assert len({base.id, *ids, asyncio.run(loop(ScriptedEngine()).trace(prompt("Else?"))).id}) == 7
    assert base.constitution_digest == constitution().digest


def test_trace_id_does_not_change():
    trace = asyncio.run(loop(ScriptedEngine(), templates=PLAIN).trace(prompt()))
    assert trace.id == "a26f3f390dc24300"


SHOWN = {
    "prompt": "Is it safe?",
    "good": "Ask a doctor.",
    "bad": "Sure.",
    "why": "Nobody can tell from here.",
    "use": "few_shot",
}


def test_few_shots_stand_before_the_conversation_criticised_and_rewritten():
    engine = ScriptedEngine()
    document = constitution({"honest": TEXTS["honest"]}, examples=[SHOWN])
    asyncio.run(loop(engine, document, rounds=1).trace(prompt("And this?", ("system", "Speak slowly."))))
    (critique,) = requests(engine, "critique")
    assert [turn.role for turn in critique.turns] == [
        "system",
        *("user", "assistant") * 3,
        "user",
        "assistant",
        "user",
    ]
    texts = [turn.text for turn in critique.turns]
    assert texts[:3] == ["Speak slowly.", SHOWN["prompt"], SHOWN["bad"]]
    assert (texts[4], texts[6]) == (SHOWN["why"], SHOWN["good"])
    assert texts[5].endswith(SHOWN["prompt"])
    assert texts[3] == texts[-1]  # the examples are put to the critic in the words of the question
    (revision,) = requests(engine, "revision")
    assert revision.turns[: len(critique.turns)] == critique.turns


@pytest.mark.parametrize("change", [{"use": "test"}, {"why": ""}])
def test_examples_for_tests_or_without_a_reason_are_not_shown_to_the_critic(change: dict[str, str]):
    documents = [constitution(), constitution(examples=[{**SHOWN, **change}])]
    plain, tested = (run(ScriptedEngine(answerer=by_purpose), one, [prompt()]) for one in documents)
    assert plain == tested


def test_passage_is_shown_to_the_critic_once_in_a_fence():
    engine = ScriptedEngine()
    passage = "Say so.\n=======\nAlways."
    honest = {"id": "honest", "text": TEXTS["honest"], "source": "#doubt", "examples": [SHOWN]}
    document = Constitution.model_validate(
        {"name": "test", "passages": {"doubt": passage}, "principles": [honest]}
    )
    asyncio.run(loop(engine, document, rounds=1).trace(prompt()))
    for request in requests(engine)[1:]:
        assert shown(request).count(passage) == 1
        assert f"\n========\n{passage}\n========\n" in shown(request)


def test_cache_keys_of_the_critic_follow_few_shots_and_passage():
    keys = []
    for examples in ([], [SHOWN], [{**SHOWN, "why": "It may harm."}], [{**SHOWN, "use": "test"}]):
        engine = ScriptedEngine(answerer=by_purpose)
        run(engine, constitution(examples=examples), [prompt()])
        keys.append(tuple(engine.key(request) for request in requests(engine, "critique")))
    assert keys[0] == keys[3]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("edit", [("", ""), ("One principle for your replies is:", "A principle:")])
def test_copy_of_the_built_in_template_has_the_beginning_that_the_built_in_one_has(edit: tuple[str, str]):
    source = PromptTemplates().sources["critique"].replace(*edit)
    seen = []
    for templates in (PromptTemplates(), PromptTemplates({"critique": source})):
        for begun in (True, False):
            engine, config = ScriptedEngine(), CritiqueConfig(rounds=1)
            steps = CritiqueLoop(constitution(), engine, engine, config, templates=templates, begun=begun)
            trace = asyncio.run(steps.trace(prompt()))
            seen.append((requests(engine, "critique")[0].prefill, trace.id))
    beginning = "To follow this principle, my reply should"
    assert [prefill for prefill, _ in seen] == [beginning, "", beginning, ""]
    assert (seen[0] == seen[2], seen[1] == seen[3]) == (not edit[0], not edit[0])


def test_template_with_a_prefill_of_its_own_begins_the_critiques_of_every_critic():
    source = PromptTemplates().sources["critique"].replace("my reply should", "I should")
    engine = ScriptedEngine()
    templates = PromptTemplates({"critique": source})
    steps = CritiqueLoop(
        constitution(), engine, engine, CritiqueConfig(rounds=1), templates=templates, begun=False
    )
    asyncio.run(steps.trace(prompt()))
    assert requests(engine, "critique")[0].prefill == "To follow this principle, I should"
