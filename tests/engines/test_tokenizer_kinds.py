"""On each kind of tokenizer, ids are those of `apply_chat_template`, split as TRL does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted, turns_of
from core.errors import EngineError
from core.records import Comparison, Generation, Message, Prompt, Sampling
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.encoding.template import with_system_in_user
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from engines.tokenization import TurnEncoder, WrittenAnswer
from evaluation.prompted import prompted_turns
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from tests.engines.tokenizer_kinds import NAMES, Kind, kinds
from tests.training.jobs import job
from training.examples import AnsweredPrompt, PreferencePair, encode_answer, encode_pair
from training.rl import task
from training.rl.config import PPOConfig

TEXTS = (
    "Hello there.",
    "Is this a list?\n\n- one\n- two\n\n\n- three",
    "def f(x):\n        if x:\n\n            return [x, '<b>'] # 100 %\n\treturn  None",
    " leading and trailing  \n",
    "a < b, b > c, [x] and <b>bold</b> | pipes || <- ->",
    "Ünïcødé: 日本語, é, ﬁ, ½ and \U0001f600\u200d\U0001f4bb",
    "12 345 678\t\ttabs\r\nand CRLF",
    "word " * 30,
    "ends with <",
    "> quoted\n> twice ]",
    "It's what they've said; we'll see... 'quoted'\n",
)


def conversations() -> list[tuple[Message, ...]]:
    """Twenty conversations of one to three questions, half of them with a system message."""
    found = []
    for number in range(20):
        drawn = random.Random(number)
        roles = ["system"] * (number % 2) + ["user", "assistant"] * (number % 3) + ["user"]
        found.append(tuple(Message(role=role, content=drawn.choice(TEXTS)) for role in roles))  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def encoders() -> dict[str, TurnEncoder]:
    return {name: TurnEncoder(kind.tokenizer, kind.kwargs, name) for name, kind in kinds().items()}


def dicts(kind: Kind, messages: Sequence[Message]) -> list[dict[str, str]]:
    """A conversation as any user of the template would write it, by hand where it takes no system message."""
    own = [message.model_dump() for message in messages]
    if own[0]["role"] == "system" and not kind.takes_system:
        return [{"role": "user", "content": f"{own[0]['content']}\n\n{own[1]['content']}"}, *own[2:]]
    return own


def usual(
    kind: Kind, encoder: TurnEncoder, messages: list[dict[str, str]], **options: Any
) -> tuple[int, ...]:
    """Ids of the tokenizer's own method."""
    return tuple(
        kind.tokenizer.apply_chat_template(
            messages, chat_template=encoder.template, return_dict=False, **kind.kwargs, **options
        )
    )


def test_kinds_are_named():
    assert tuple(kinds()) == NAMES
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_generation_prompts_are_those_of_apply_chat_template(encoders: dict[str, TurnEncoder], name: str):
    kind, encoder = kinds()[name], encoders[name]
    for messages in conversations():
        expected = usual(kind, encoder, dicts(kind, messages), add_generation_prompt=True)
        assert encoder.encode(turns_of(messages)).ids == expected


@lru_cache
def request_of(messages: tuple[Message, ...], replies: tuple[str, str]) -> tuple[tuple[Turn, ...], str]:
    """The labeler's conversation and prefill."""
    principle = Principle(id="honest", text="The reply is honest.")
    labeler = AILabeler(
        Constitution(name="c", preamble="Be careful.\n\n", principles=(principle,)), ScriptedEngine()
    )
    sides = {"response_a": replies[0], "response_b": replies[1], "origin_a": "x", "origin_b": "y"}
    request = labeler.request(
        Comparison(id="c", prompt=Prompt.of(messages), **sides), principle, a_first=True
    )
    return request.turns, request.prefill


@pytest.mark.parametrize("name", NAMES)
def test_label_requests_are_those_of_apply_chat_template(encoders: dict[str, TurnEncoder], name: str):
    kind, encoder = kinds()[name], encoders[name]
    for messages in conversations():
        turns, prefill = request_of(messages, (TEXTS[1], TEXTS[2]))
        written = [Message(role=turn.role, content=turn.text) for turn in turns]
        expected = usual(kind, encoder, dicts(kind, written), add_generation_prompt=True)
        assert encoder.encode(turns).ids == expected
        answered = [*dicts(kind, written), {"role": "assistant", "content": prefill}]
        begun = kind.tokenizer.apply_chat_template(
            answered, chat_template=encoder.template, tokenize=False, **kind.kwargs
        )
        begun = begun[: begun.rindex(prefill) + len(prefill)]
        if name != "deepseek":  # its template opens thoughts, which a prefill has to close
            expected = tuple(kind.tokenizer(begun, add_special_tokens=False).input_ids)
            assert encoder.encode(turns, prefill).ids == expected


@pytest.mark.parametrize("name", NAMES)
def test_replies_side_by_side_have_the_ids_that_each_has_alone(encoders: dict[str, TurnEncoder], name: str):
    encoder, principle = encoders[name], Principle(id="honest", text="The reply is honest.")
    labeler = AILabeler(
        Constitution(name="c", principles=(principle,)), ScriptedEngine(), LabelConfig(mode="symmetric")
    )
    for messages, (one, two) in zip(conversations(), pairwise([*TEXTS, *TEXTS]), strict=False):
        sides = {"response_a": one, "response_b": two, "origin_a": "x", "origin_b": "y"}
        comparison = Comparison(id="c", prompt=Prompt.of(messages), **sides)
        (request,) = labeler.requests(comparison, principle)
        assert isinstance(request, ChoiceRequest)
        assert request.branches is not None
        found = encoder.encode_branches(request.turns, request.branches)
        for contents, branches in zip(request.branches.namings, found.namings, strict=True):
            for content, ids in zip(contents, branches, strict=True):
                alone = Turn("user", (*request.branches.shared, *content, *request.branches.question))
                whole = encoder.encode((*request.turns[:-1], alone)).ids
                assert (*found.shared, *ids, *found.question) == whole
        assert not set(encoder.tokenizer.all_special_ids) & {
            token for naming in found.namings for branch in naming for token in branch
        } - {encoder.tokenizer.unk_token_id}


@pytest.mark.parametrize("name", NAMES)
def test_prompts_of_reinforcement_learning_are_those_of_generation(
    encoders: dict[str, TurnEncoder], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    kind, encoder = kinds()[name], encoders[name]
    monkeypatch.setattr(task, "max_tokens", lambda job: 1 << 20)  # no model is loaded
    prompts = [Prompt.of(messages) for messages in conversations()]
    own = job("ppo", tmp_path, "none")
    encoded = task.encode_prompts(prompts, encoder, own, PPOConfig())
    assert encoded.excluded == []
    for row in encoded.rows:
        expected = usual(kind, encoder, dicts(kind, row.prompt.messages), add_generation_prompt=True)
        assert row.ids == expected


@pytest.mark.parametrize("name", NAMES)
def test_prompted_variant_is_asked_whatever_the_template_takes(encoders: dict[str, TurnEncoder], name: str):
    kind, encoder = kinds()[name], encoders[name]
    constitution = Constitution(name="c", principles=(Principle(id="kind", text="The reply is kind."),))
    for messages in conversations()[:6]:
        turns = prompted_turns(Prompt.of(messages), constitution, PromptTemplates())
        written = [Message(role=turn.role, content=turn.text) for turn in turns]
        assert "The reply is kind." in written[0].content
        expected = usual(kind, encoder, dicts(kind, written), add_generation_prompt=True)
        assert encoder.encode(turns).ids == expected


def trl_split(
    kind: Kind, encoder: TurnEncoder, prompt: list[dict[str, str]], answers: Sequence[str]
) -> tuple[list[int], list[list[int]]]:
    """Prompt and completions as the trainers of TRL tokenize them (`tokenize_fn` of SFT and DPO)."""
    from trl.data_utils import _tokenize, common_prefix_length

    options = {"chat_template": encoder.template, **kind.kwargs}
    asked = _tokenize(kind.tokenizer, prompt, add_generation_prompt=True, **options)["input_ids"]
    whole = [
        _tokenize(kind.tokenizer, [*prompt, {"role": "assistant", "content": answer}], **options)["input_ids"]
        for answer in answers
    ]
    common = min(common_prefix_length(asked, ids) for ids in whole)
    return asked[:common], [ids[common:] for ids in whole]


def require_split(encoder: TurnEncoder, mine: Sequence[int], theirs: Sequence[int]) -> None:
    """Ids of an answer are TRL's, up to the token that ends the turn; no model writes what follows it."""
    assert list(mine) == list(theirs[: len(mine)])
    behind = encoder.tokenizer.decode(theirs[len(mine) :])
    assert behind.strip() == encoder._end.text[len(encoder._end.own) :].strip()
    assert tuple(mine[-len(encoder.end_of_turn) :]) == encoder.end_of_turn or encoder.is_base


@pytest.mark.parametrize("name", NAMES)
def test_answers_of_sft_dpo_and_reward_models_are_split_as_trl_does(
    encoders: dict[str, TurnEncoder], name: str
):
    kind, encoder = kinds()[name], encoders[name]
    for number, messages in enumerate(conversations()):
        chosen, rejected = TEXTS[number % len(TEXTS)], TEXTS[(3 * number + 1) % len(TEXTS)]
        prompt, (good, bad) = trl_split(kind, encoder, dicts(kind, messages), (chosen, rejected))
        row = encode_pair(encoder, PreferencePair("x", messages, chosen, rejected, 1.0))
        assert list(row.chosen.prompt_ids) == list(row.rejected.prompt_ids) == prompt
        require_split(encoder, row.chosen.answer_ids, good)
        require_split(encoder, row.rejected.answer_ids, bad)
        prompt, (good,) = trl_split(kind, encoder, dicts(kind, messages), (chosen,))
        one = encode_answer(encoder, messages, AnsweredPrompt("x", messages, chosen).answer)
        assert list(one.prompt_ids) == prompt
        require_split(encoder, one.answer_ids, good)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_answer_is_the_beginning_of_a_finished_one(encoders: dict[str, TurnEncoder], name: str):
    encoder = encoders[name]
    messages = (Message(role="user", content="Hi"),)
    whole = encode_answer(encoder, messages, "Yes, of course")
    cut = encode_answer(encoder, messages, "Yes, of course", finished=False)
    assert whole.prompt_ids == cut.prompt_ids
    assert whole.answer_ids == (*cut.answer_ids, *encoder.end_of_turn) or encoder.is_base
    assert encoder.end_of_turn[-1] not in cut.answer_ids or encoder.is_base


THOUGHT = "<think>\nspain\n</think>\n\nMadrid."


@pytest.mark.parametrize("name", ["qwen3", "qwen3_no_thinking", "deepseek"])
def test_thoughts_in_history_and_answers_are_what_the_template_makes_of_them(
    encoders: dict[str, TurnEncoder], name: str
):
    kind, encoder = kinds()[name], encoders[name]
    messages = tuple(
        Message(role=role, content=text)  # type: ignore[arg-type]
        for role, text in (("user", "Capital?"), ("assistant", THOUGHT), ("user", "Sure?"))
    )
    expected = usual(kind, encoder, dicts(kind, messages), add_generation_prompt=True)
    assert encoder.encode(turns_of(messages)).ids == expected
    prompt, (good, bad) = trl_split(kind, encoder, dicts(kind, messages), (THOUGHT, "No."))
    row = encode_pair(encoder, PreferencePair("x", messages, THOUGHT, "No.", 1.0))
    assert list(row.chosen.prompt_ids) == prompt
    require_split(encoder, row.chosen.answer_ids, good)
    require_split(encoder, row.rejected.answer_ids, bad)
    if name != "deepseek":  # which leaves thoughts out of every finished answer
        think = encoder.tokenizer.convert_tokens_to_ids("<think>")
        assert think in row.chosen.answer_ids or think in row.chosen.prompt_ids


def test_marker_of_a_tool_call_is_a_token_in_a_learned_answer_and_letters_elsewhere(
    encoders: dict[str, TurnEncoder],
):
    encoder = encoders["qwen25"]
    call = encoder.tokenizer.convert_tokens_to_ids("<tool_call>")
    asked = (Message(role="user", content="Call <tool_call>x</tool_call>"),)
    learned = encode_answer(encoder, asked, "<tool_call>\n{}\n</tool_call>")
    assert call not in learned.prompt_ids
    assert learned.answer_ids.count(call) == 1
    history = (*asked, Message(role="assistant", content="<tool_call>\n{}\n</tool_call>"), *asked)
    assert call not in encoder.encode(turns_of(history)).ids


@pytest.mark.parametrize("name", ["neox_base", "gemma2", "gemma3"])
def test_runs_of_spaces_newlines_and_html_are_ordinary_text(encoders: dict[str, TurnEncoder], name: str):
    encoder = encoders[name]
    text = "x\n\n    y  z <b>w</b>"
    added = set(encoder.tokenizer.get_added_vocab().values()) - set(encoder.tokenizer.all_special_ids)
    assert encoder.plain(text) == encoder.tokenizer(text, add_special_tokens=False).input_ids
    assert not added.isdisjoint(encoder.plain(text))


@pytest.mark.parametrize("name", ["llama3_base", "neox_base", "gpt2_base"])
def test_base_model_gets_the_start_token_that_its_tokenizer_adds(encoders: dict[str, TurnEncoder], name: str):
    encoder = encoders[name]
    ids = encoder.encode(turns_of([Message(role="user", content="Hi")])).ids
    start = encoder.tokenizer("Hi").input_ids[0]
    assert (ids[0] == encoder.tokenizer.bos_token_id) is (name == "llama3_base")
    assert ids.count(start) == (1 if name == "llama3_base" else ids.count(start))


@pytest.mark.parametrize("name", ["chatml", "llama3", "qwen25", "deepseek", "neox_base"])
def test_texts_that_are_encoded_by_words_get_the_ids_of_the_whole(
    encoders: dict[str, TurnEncoder], name: str
):
    encoder, drawn = encoders[name], random.Random(0)
    assert encoder._sealed._words is not None
    parts = [*TEXTS, *"aB1.,'<>-_()[]{}#", "'s", "é", "e\u0301", "日本", "\u00a0", "\u3000", "\x85", "\x1c"]
    parts += [" ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\U0001f600"]
    for _ in range(300):
        text = "".join(drawn.choices(parts, k=drawn.randrange(1, 12)))
        whole = encoder.tokenizer(text, add_special_tokens=False).input_ids
        assert encoder.plain(text) == whole, text


@pytest.mark.parametrize("name", ["llama2", "mistral", "gemma2", "gemma3", "phi", "unigram"])
def test_tokenizers_that_join_words_are_never_asked_for_single_ones(
    encoders: dict[str, TurnEncoder], name: str
):
    assert encoders[name]._sealed._words is None


# No text gives a protected token


def protected(encoder: TurnEncoder, ids: Sequence[int]) -> list[int]:
    """The protected tokens among the ids, in order, without the one for unknown characters."""
    known = set(encoder._sealed.tokens.values())
    if "<unk>" in encoder._sealed.tokens:
        known -= {encoder.tokenizer.unk_token_id}
    return [token for token in ids if token in known]


def hostile_texts(encoder: TurnEncoder, drawn: random.Random) -> list[str]:
    """Texts of protected strings: whole, cut anywhere, nested, beside white space, and joined at random."""
    tokens = list(encoder._sealed.tokens)
    texts = ["".join(tokens), *tokens]
    for token in tokens:
        at = drawn.randrange(1, len(token)) if len(token) > 1 else 1
        texts += [
            token[:at],
            token[at:],
            f"{token[:at]}{token}{token[at:]}",
            f" {token[at:]} x {token[:at]}\n",
        ]
    parts = [
        *tokens,
        *(t[:-1] for t in tokens),
        *(t[1:] for t in tokens),
        "<",
        ">",
        "[",
        "/",
        " ",
        "\n",
        "\ue000",
    ]
    texts += ["".join(drawn.choices(parts, k=drawn.randrange(1, 8))) for _ in range(40)]
    return texts


def require_harmless(encoder: TurnEncoder, count: int) -> None:
    """Hostile texts in every role give the protected tokens that harmless ones give."""
    drawn = random.Random(0)
    texts = hostile_texts(encoder, drawn)
    thoughts = {encoder.thinking.start, encoder.thinking.end}
    for number in range(count):
        roles = ["system"] * (number % 2) + ["user", "assistant"] * (number % 3) + ["user"]
        turns = []
        for role in roles:
            pieces = drawn.choices(texts, k=drawn.randrange(1, 4))
            if role == "assistant" and any(tag in "".join(pieces) for tag in thoughts):
                pieces = ["x"]  # thoughts of old answers are the template's to remove
            turns.append(Turn(role, tuple(Untrusted(piece) for piece in pieces)))  # type: ignore[arg-type]
        tame = [Turn(turn.role, ("x",)) for turn in turns]
        mine, theirs = encoder.encode(turns).ids, encoder.encode(tame).ids
        assert protected(encoder, mine) == protected(encoder, theirs), [turn.text for turn in turns]
        text = drawn.choice(texts)
        begun = encoder.encode(tame, prefill=text).ids
        assert protected(encoder, begun) == protected(encoder, encoder.encode(tame, prefill="x").ids), text


@pytest.mark.parametrize("name", NAMES)
def test_no_text_gives_a_protected_token(encoders: dict[str, TurnEncoder], name: str):
    require_harmless(encoders[name], 60)


@pytest.mark.parametrize("name", NAMES)
def test_no_learned_answer_gives_a_special_token_or_a_marker_of_turns(
    encoders: dict[str, TurnEncoder], name: str
):
    encoder, drawn = encoders[name], random.Random(1)
    asked = (Message(role="user", content="x"),)
    allowed = {encoder._sealed.tokens[token] for token in encoder._of_assistant}
    expected = [token for token in protected(encoder, whole(encoder, asked, "x")) if token not in allowed]
    for text in hostile_texts(encoder, drawn):
        found = protected(encoder, whole(encoder, asked, text))
        assert [token for token in found if token not in allowed] == expected, text


def whole(encoder: TurnEncoder, prompt: tuple[Message, ...], answer: str) -> tuple[int, ...]:
    ids, (rest,) = encoder.encode_answers(turns_of(prompt), [WrittenAnswer(answer)])
    return (*ids, *rest)


@pytest.mark.parametrize("name", NAMES)
def test_the_usual_way_would_take_these_texts_for_tokens(encoders: dict[str, TurnEncoder], name: str):
    # Without this the tests above would prove nothing.
    kind, encoder = kinds()[name], encoders[name]
    hostile = [{"role": "user", "content": "".join(encoder._sealed.tokens)}]
    tame = [{"role": "user", "content": "x"}]
    many, few = (usual(kind, encoder, messages) for messages in (hostile, tame))
    assert len(protected(encoder, many)) > len(protected(encoder, few))


def test_a_template_that_cuts_strings_out_of_content_joins_no_token(encoders: dict[str, TurnEncoder]):
    encoder = encoders["chatml"]
    cutting = "{% for m in messages %}<|im_start|>{{ m.content | replace('xx', '') }}<|im_end|>{% endfor %}"
    tokenizer = with_template(encoder.tokenizer, cutting)
    careful = TurnEncoder(tokenizer, {}, "cutting")
    ids = careful.encode((Turn("user", ("a <|im_xxend|> b",)),)).ids
    assert len(protected(careful, ids)) == 2


def with_template(tokenizer: Any, template: str) -> Any:
    import copy

    own = copy.deepcopy(tokenizer)
    own.chat_template = template
    return own


# The check at load


def test_tokenizer_whose_ids_would_differ_is_refused(
    encoders: dict[str, TurnEncoder], monkeypatch: pytest.MonkeyPatch
):
    """Its own method says something else than its files, as a tokenizer class with code of its own may do."""
    tokenizer = with_template(encoders["chatml"].tokenizer, encoders["chatml"].template)
    own = tokenizer.apply_chat_template

    def other(*arguments: Any, **options: Any) -> Any:
        found = own(*arguments, **options)
        return found if isinstance(found, str) else [*found[:3], found[3] + 1, *found[4:]]

    monkeypatch.setattr(tokenizer, "apply_chat_template", other)
    with pytest.raises(EngineError, match=r"^odd: .*other token ids.* instead of .* at token 3; accepted"):
        TurnEncoder(tokenizer, {}, "odd")


# System messages


def test_system_message_becomes_the_beginning_of_the_first_user_message():
    turns = turns_of([Message(role="system", content="Be kind."), Message(role="user", content="Hi")])
    folded = with_system_in_user(turns)
    assert [(turn.role, turn.text) for turn in folded] == [("user", "Be kind.\n\nHi")]
    assert [piece for piece in folded[0].pieces if isinstance(piece, str)] == ["\n\n"]
    alone = with_system_in_user(turns[:1])
    assert [(turn.role, turn.text) for turn in alone] == [("user", "Be kind.")]


def test_moved_system_message_is_told_once(
    encoders: dict[str, TurnEncoder], caplog: pytest.LogCaptureFixture
):
    kind = kinds()["gemma2"]
    encoder = TurnEncoder(kind.tokenizer, {}, "gemma2")
    turns = turns_of([Message(role="system", content="Be kind."), Message(role="user", content="Hi")])
    with caplog.at_level("INFO", logger="publius"):
        for _ in range(3):
            encoder.encode(turns)
    told = [record.message for record in caplog.records if "system message" in record.message]
    assert told == [
        "the chat template of gemma2 takes no system message: "
        "it becomes the beginning of the first user message"
    ]


# Answers of older versions


class Echo(LocalEngine):
    """An engine with a tokenizer and no weights."""

    kind, decoding, limits, _max_tokens = "echo", 1, "the test", 4096
    model = "echo"

    def __init__(self, encoder: TurnEncoder) -> None:
        super().__init__(ModelConfig(id="echo"), EngineConfig())
        for name, value in (
            ("encoder", encoder),
            ("_dtype", "float32"),
            ("_files", SimpleNamespace(identity="x")),
        ):
            self.__dict__[name] = value

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        return Generation(
            text="x",
            finish_reason="stop",
            prompt_tokens=len(ids),
            completion_tokens=1,
            model="echo",
            sampling=request.sampling,
        )

    async def _choose(self, *_: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("name", "changed"), [("chatml", 0), ("mistral", 3), ("llama3_base", 3)])
def test_answers_that_are_asked_again_for_their_token_ids_are_counted(
    encoders: dict[str, TurnEncoder],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    name: str,
    changed: int,
):
    encoder = encoders[name]
    requests = [
        GenerationRequest(turns_of([Message(role="user", content=text)]), Sampling(), 0, "draft")
        for text in ("Hello there.", "Is this a list?", "def f")
    ]
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        for request in requests:  # as an older version left them
            engine = Echo(encoder)
            answer = asyncio.run(engine.generate(request))
            key = engine.older_key(request) or engine.key(request)
            cache.put(key, "draft", answer.model_dump_json(exclude_none=True))
        engine = CachedEngine(Echo(encoder), cache)
        for request in requests:
            asyncio.run(engine.generate(request))
        assert engine.counts.asked.total() == changed
        with caplog.at_level("INFO", logger="publius"):
            engine.close()
    told = [record.message for record in caplog.records]
    assert told == [
        "3 answers of echo asked again: conversations now have the token ids of apply_chat_template, "
        "and theirs were others"
    ] * bool(changed)
