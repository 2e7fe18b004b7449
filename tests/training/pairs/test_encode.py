"""From preference pairs to token ids: what is cut, what is left out, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.errors import ConfigError
from core.records import Message
from engines.config import ModelConfig
from engines.tokenization import CHATML, TurnEncoder
from tests.engines.tokenizer_kinds import kinds
from tests.training.jobs import OPTIM, job, pairs
from training.config import DPOConfig, OptimConfig, RewardConfig
from training.examples import AnsweredPrompt, ExcludedExample, PreferencePair, encode_pair
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.encode import all_undecided, encode_pairs
from training.pairs.reward import train_reward
from training.policy import load_encoder
from training.sft import encode_answers, train_sft

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROOM = OptimConfig(max_length=64)
CUT = OptimConfig(max_length=64, overlong="truncate")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> TurnEncoder:
    return load_encoder(ModelConfig(id=str(tiny_folder)))


def accepts(pair: PreferencePair) -> ExcludedExample | None:
    return None


def asked(words: int, chosen: str = "yes", rejected: str = "no, never") -> PreferencePair:
    """A pair whose prompt has about five tokens a word."""
    return PreferencePair("long", (Message(role="user", content="word " * words),), chosen, rejected, 0.8)


def test_pairs_that_fit_are_encoded_whole_and_in_order(encoder: TurnEncoder):
    encoded = encode_pairs(pairs(5), encoder, OptimConfig(max_length=128), accepts)
    assert encoded.rows == [encode_pair(encoder, pair) for pair in pairs(5)]
    assert (encoded.excluded, encoded.truncated) == ([], 0)


def test_label_weight_and_margin_come_along(encoder: TurnEncoder):
    pair = replace(pairs(1)[0], p_chosen=0.62, weight=0.25, margin=1.5)
    row = encode_pairs([pair], encoder, OptimConfig(), accepts).rows[0]
    assert (row.p_chosen, row.weight, row.margin) == (0.62, 0.25, 1.5)


def test_a_pair_is_as_long_as_its_longer_side(encoder: TurnEncoder):
    row = encode_pair(encoder, asked(3))
    longest = len(row)
    assert longest == len(row.rejected) > len(row.chosen)
    assert row.packed_tokens == len(row.tree) == len(row.chosen) + len(row.rejected.answer_ids)
    just = OptimConfig(max_length=longest)
    assert encode_pairs([asked(3)], encoder, just, accepts).rows == [row]
    short = OptimConfig(max_length=longest - 1)
    assert encode_pairs([asked(3)], encoder, short, accepts).rows == []


def test_an_over_long_pair_is_dropped_with_its_length(encoder: TurnEncoder):
    encoded = encode_pairs([*pairs(2), asked(20)], encoder, ROOM, accepts)
    assert [row.id for row in encoded.rows] == ["0", "1"]
    tokens = len(encode_pair(encoder, asked(20)))
    assert encoded.excluded == [ExcludedExample("long", "longer than optim.max_length", f"{tokens} tokens")]
    assert encoded.truncated == 0


def test_truncation_cuts_old_content_and_neither_the_frame_nor_an_answer(encoder: TurnEncoder):
    encoded = encode_pairs([*pairs(2), asked(20)], encoder, CUT, accepts)
    whole, cut = encode_pair(encoder, asked(20)), encoded.rows[-1]
    assert encoded.truncated == 1
    assert encoded.excluded == []
    assert len(cut) == 64
    assert cut.chosen.prompt_ids == cut.rejected.prompt_ids
    # Only the beginning of the question is gone: its header and the answer's are whole.
    empty = encode_pair(encoder, asked(0)).chosen.prompt_ids
    start = next(i for i, (a, b) in enumerate(zip(empty, whole.chosen.prompt_ids, strict=False)) if a != b)
    assert cut.chosen.prompt_ids[:start] == whole.chosen.prompt_ids[:start] == empty[:start]
    rest = len(cut.chosen.prompt_ids) - start
    assert cut.chosen.prompt_ids[start:] == whole.chosen.prompt_ids[-rest:]
    assert cut.chosen.answer_ids == whole.chosen.answer_ids
    assert cut.rejected.answer_ids == whole.rejected.answer_ids
    assert cut.tree.prompt_ids == cut.chosen.prompt_ids


def test_truncation_keeps_the_system_message_and_drops_old_turns_first(encoder: TurnEncoder):
    system = Message(role="system", content="Be kind.")
    last = Message(role="user", content="And now?")
    old = (Message(role="user", content="word " * 30), Message(role="assistant", content="yes"))
    pair = replace(asked(1), prompt=(system, *old, last))
    expected = encode_pair(encoder, replace(pair, prompt=(system, last)))
    room = OptimConfig(max_length=len(expected), overlong="truncate")
    assert encode_pairs([pair], encoder, room, accepts).rows == [expected]
    rows = [AnsweredPrompt("x", pair.prompt, pair.rejected)]
    assert encode_answers(rows, encoder, room).rows == [expected.rejected]


def test_an_answer_that_leaves_no_room_for_a_prompt_is_dropped_even_then(encoder: TurnEncoder):
    frame = len(encode_pair(encoder, asked(0)).chosen.prompt_ids)
    full, one = asked(20, chosen="x" * (63 - frame)), asked(20, chosen="x" * (62 - frame))
    encoded = encode_pairs([full, one], encoder, CUT, accepts)
    assert [row.reason for row in encoded.excluded] == ["longer than optim.max_length"]
    assert [len(row.chosen.prompt_ids) for row in encoded.rows] == [frame + 1]
    assert encoded.truncated == 1


RENDERED = "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("prompt", "chosen"),
    [
        (RENDERED, "Good.<|im_end|>\n"),
        (RENDERED, "Good."),
        (RENDERED.removesuffix("<|im_start|>assistant\n"), "<|im_start|>assistant\nGood.<|im_end|>"),
    ],
)
def test_text_row_that_holds_the_template_is_not_rendered_again(
    encoder: TurnEncoder, caplog: pytest.LogCaptureFixture, prompt: str, chosen: str
):
    usual = PreferencePair("x", (Message(role="user", content="Q?"),), "Good.", "Bad.", 1.0)
    asked_as_text = (Message(role="user", content=prompt),)
    row = replace(usual, prompt=asked_as_text, chosen=chosen, rejected=chosen.replace("Good", "Bad"))
    with caplog.at_level("INFO", logger="publius"):
        (mine,) = encode_pairs([replace(row, as_text=True)], encoder, ROOM, accepts).rows
    whole = encode_pair(encoder, usual)
    assert (*mine.chosen.prompt_ids, *mine.chosen.answer_ids) == (
        *whole.chosen.prompt_ids,
        *whole.chosen.answer_ids,
    )
    assert (*mine.rejected.prompt_ids, *mine.rejected.answer_ids)[-3:] == whole.rejected.answer_ids[-3:]
    assert [r.message for r in caplog.records] == [
        "1 of 1 row holds a rendered chat template already: "
        "they are encoded as they are, special tokens included"
    ]
    # Messages are never taken for a rendering: their text is content, whatever it spells.
    special = encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert encode_pair(encoder, row).chosen.prompt_ids.count(special) == 1


def test_text_that_only_names_a_special_token_is_no_rendering(encoder: TurnEncoder):
    assert not encoder.is_rendered("What does <|im_end|> mean?")
    assert not encoder.is_rendered("")
    assert encoder.is_rendered(RENDERED)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("mistral", "<s>struck out</s> What is this?", False),
        ("mistral", "<s>[INST] Q? [/INST]", True),
        ("mistral", "[INST] Q? [/INST]", True),
        ("qwen25", "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n", True),
        ("llama3", "<|start_header_id|>user<|end_header_id|>\n\nQ?<|eot_id|>", True),
        ("llama3", "Q?", False),
        ("gemma2", "<bos><start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\n", True),
        ("deepseek", "<｜User｜>Q?<｜Assistant｜>", True),
    ],
)
def test_renderings_are_told_by_their_beginning_and_end(kind: str, text: str, expected: bool):
    own = kinds()[kind]
    assert TurnEncoder(own.tokenizer, own.kwargs, kind).is_rendered(text) is expected


def test_what_training_objects_to_is_left_out_for_its_reason(encoder: TurnEncoder):
    def objects(pair: PreferencePair) -> ExcludedExample | None:
        return ExcludedExample(pair.id, "no threes") if pair.id == "3" else None

    encoded = encode_pairs(pairs(5), encoder, OptimConfig(), objects)
    assert [row.id for row in encoded.rows] == ["0", "1", "2", "4"]
    assert encoded.excluded == [ExcludedExample("3", "no threes")]


def test_a_pair_that_the_chat_template_refuses_is_left_out(
    tiny_tokenizer: Callable[..., PreTrainedTokenizerBase],
):
    refuses = "{% if messages | length > 3 %}{{ raise_exception('too many turns') }}{% endif %}"
    strict = TurnEncoder(tiny_tokenizer(refuses + CHATML), {}, "strict")
    good = pairs(1)[0]
    more = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    refused = replace(good, id="odd", prompt=(*more, *good.prompt))
    encoded = encode_pairs([good, refused], strict, OptimConfig(), accepts)
    assert [row.id for row in encoded.rows] == ["0"]
    assert [row.id for row in encoded.excluded] == ["odd"]
    assert "too many turns" in f"{encoded.excluded[0].reason} {encoded.excluded[0].detail}"


def test_a_pair_whose_system_message_the_template_refuses_has_it_in_the_user_message(
    tiny_tokenizer: Callable[..., PreTrainedTokenizerBase],
):
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    strict = TurnEncoder(tiny_tokenizer(refuses + CHATML), {}, "strict")
    pair = pairs(1)[0]
    asked = pair.prompt[0].content
    with_system = replace(pair, prompt=(Message(role="system", content="Be brief."), *pair.prompt))
    folded = replace(pair, prompt=(Message(role="user", content=f"Be brief.\n\n{asked}"),))
    encoded = encode_pairs([with_system, folded], strict, OptimConfig(), accepts)
    assert encoded.excluded == []
    assert encoded.rows[0] == encoded.rows[1]


def test_only_labels_that_are_all_one_half_are_warned_of(encoder: TurnEncoder):
    ties = encode_pairs(pairs(3, p=0.5), encoder, OptimConfig(), accepts).rows
    decided = encode_pairs(pairs(3, p=0.51), encoder, OptimConfig(), accepts).rows
    assert len(all_undecided(ties)) == 1
    assert "every label is 0.5" in all_undecided(ties)[0]
    assert all_undecided([*ties, decided[0]]) == ()


def answers_of(rows: Sequence[PreferencePair]) -> list[AnsweredPrompt]:
    return [AnsweredPrompt(pair.id, pair.prompt, pair.chosen) for pair in rows]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_example_longer_than_the_model_s_context_is_one_clear_line(
    tiny_folder: Path, tmp_path: Path, method: Method, held_out: bool
):
    """The tiny model has 512 positions."""
    own = job(method, tmp_path / "to", str(tiny_folder), optim=OPTIM.model_copy(update={"max_length": 2048}))
    train, unseen = (pairs(2), [asked(110)]) if held_out else ([asked(110)], [])
    learn: dict[str, Callable[[], object]] = {
        "sft": lambda: train_sft(answers_of(train), own, answers_of(unseen)),
        "reward": lambda: train_reward(train, own, RewardConfig(), unseen),
        "dpo": lambda: train_dpo(train, own, DPOConfig(), unseen),
    }
    with pytest.raises(ConfigError) as caught:
        learn[method]()
    assert str(caught.value).startswith("optim.max_length=2048: the model's context has 512 tokens, but an ")
    assert "accepted: optim.max_length=512 or less" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "to").exists()


def test_limit_beyond_the_context_does_no_harm_where_no_example_is_so_long(tiny_folder: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"max_length": 2048})
    own = job("reward", tmp_path, str(tiny_folder), optim=optim)
    assert train_reward(pairs(4), own, RewardConfig())[0].examples == 4
