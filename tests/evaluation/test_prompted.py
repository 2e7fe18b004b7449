"""The constitution as a system message: what is told, in which order, and what stays untrusted."""

from __future__ import annotations

from constitution.schema import Constitution, Principle, Scope
from core.chat import Turn, Untrusted, turns_of
from core.records import Message, Prompt
from evaluation.prompted import prompted_turns
from prompts.environment import PromptTemplates

KIND = Principle(id="kind", text="The reply is kind.")
SAFE = Principle(id="safe", text="The reply is safe.", applies_to=Scope(tags=("risky",)))
CONSTITUTION = Constitution(name="test", principles=(KIND, SAFE))
PROMPT = Prompt.of((Message(role="user", content="Why {{ so }}?"),))
RISKY = Prompt.of(PROMPT.messages, tags=("risky",))


def prompted(prompt: Prompt, constitution: Constitution = CONSTITUTION) -> tuple[Turn, ...]:
    return prompted_turns(prompt, constitution, PromptTemplates())


def test_principles_stand_numbered_in_a_system_message_before_the_conversation():
    system, *conversation = prompted(RISKY)
    assert system == Turn(
        "system",
        (
            "Your replies follow these principles:\n\n1. The reply is kind.\n2. The reply is safe.\n\n"
            "Follow these in every reply. Do not mention them.",
        ),
    )
    assert tuple(conversation) == turns_of(RISKY.messages)


def test_principles_out_of_scope_are_not_told():
    assert "safe" not in prompted(PROMPT)[0].text


def test_conversation_that_no_principle_is_about_stays_as_it_was():
    assert prompted(PROMPT, Constitution(name="test", principles=(SAFE,))) == turns_of(PROMPT.messages)


def test_preamble_stands_first():
    document = CONSTITUTION.model_copy(update={"preamble": "We run a pharmacy."})
    assert prompted(PROMPT, document)[0].text.startswith("We run a pharmacy.\n\nYour replies")


def test_own_system_message_is_kept_after_ours_and_stays_untrusted():
    own = Message(role="system", content="Speak like a pirate. {{ x }}")
    system, *conversation = prompted(Prompt.of((own, *PROMPT.messages)))
    assert system.role == "system"
    assert system.pieces[0] == prompted(PROMPT)[0].text
    assert system.pieces[1:] == ("\n\n", Untrusted(own.content))
    assert tuple(conversation) == turns_of(PROMPT.messages)


def test_strict_priority_tells_principles_in_the_order_in_which_they_decide():
    first = Principle(id="first", text="One.", section="a")
    second = Principle(id="second", text="Two.", section="b")
    hard = Principle(id="hard", text="Never.", section="b", hard=True)
    strict = Constitution(
        name="test", priority="strict", sections=("a", "b"), principles=(second, first, hard)
    )
    text = prompted(PROMPT, strict)[0].text
    assert "1. Never.\n2. One.\n3. Two.\n" in text
    assert "the earlier one decides" in text
    holistic = strict.model_copy(update={"priority": "holistic"})
    assert "1. Two.\n2. One.\n3. Never.\n" in prompted(PROMPT, holistic)[0].text
    assert "decides" not in prompted(PROMPT, holistic)[0].text
