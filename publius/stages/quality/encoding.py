"""Token ids of the texts whose loss is measured: neutral passages, reference answers, a variant's answers."""

from __future__ import annotations

from core.records import Answer, Message, Prompt
from engines.tokenization import TurnEncoder, WrittenAnswer
from evaluation.neutral.texts import ReferenceAnswer, neutral_passages, reference_answers
from publius.stages.variants import HasConstitution, turns_for
from training.examples import EncodedAnswer


def encoded_answer(
    under: HasConstitution, encoder: TurnEncoder, variant: str, answer: Answer
) -> EncodedAnswer:
    """Return the ids of an answer, after its prompt as a variant sees it."""
    generation = answer.generation
    written = WrittenAnswer(generation.text, generation.finish_reason == "stop")
    prompt_ids, (ids,) = encoder.encode_answers(turns_for(under, variant, answer.prompt), [written])
    return EncodedAnswer(prompt_ids, ids)


def encoded_passages(encoder: TurnEncoder, limit: int | None = None) -> dict[str, EncodedAnswer]:
    """Return the ids of the neutral passages, at most `limit`, as plain text, by id.

    The token before the text is the one that the tokenizer itself begins a text with, if there is one. Else
    the first token of the text is not predicted.
    """
    start = _start_of_text(encoder)
    rows: dict[str, EncodedAnswer] = {}
    for passage in neutral_passages(limit):
        ids = tuple(encoder.plain(passage.text))
        rows[passage.id] = EncodedAnswer(start, ids) if start else EncodedAnswer(ids[:1], ids[1:])
    return rows


def encoded_references(
    under: HasConstitution, encoder: TurnEncoder, variant: str, limit: int | None = None
) -> dict[str, EncodedAnswer]:
    """Return the ids of the reference answers, at most `limit`, by id, each after its question.

    The question is encoded as a variant sees it.
    """
    rows: dict[str, EncodedAnswer] = {}
    for reference in reference_answers(limit):
        turns = turns_for(under, variant, _prompt_of(reference))
        prompt_ids, (ids,) = encoder.encode_answers(turns, [WrittenAnswer(reference.answer, True)])
        rows[reference.id] = EncodedAnswer(prompt_ids, ids)
    return rows


def _start_of_text(encoder: TurnEncoder) -> tuple[int, ...]:
    """Return the ids that the tokenizer puts before a text of its own accord: its BOS token, or nothing."""
    tokenizer = encoder.tokenizer
    first = tokenizer("a")["input_ids"][:1]
    return tuple(first) if first and first[0] == tokenizer.bos_token_id else ()


def _prompt_of(reference: ReferenceAnswer) -> Prompt:
    return Prompt.of((Message(role="user", content=reference.question),))
