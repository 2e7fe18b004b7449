"""Small tokenizers of the kinds that model families use, trained on the spot, and templates like theirs.

Vocabulary and merges are tiny. Normalisers, pre-tokenizers, flags of added tokens and the templates'
treatment of messages are those of the families, written in our own words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import JsonValue

_CORPUS = (
    "The quick brown fox jumps over the lazy dog. What is the capital of Spain? Madrid, of course.",
    "user assistant system model Please help me. I can not help with that. Yes, of course! 12 345 6",
    "def f(x):\n    if x:\n        return [x, 'a']\n\treturn None\n\n- one\n- two\n\n\nDone. <b>bold</b> ",
    "thinking about it, think | start | end | header | im_start im_end INST bos eos turn <s> </s> [INST]",
)
_GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set head = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set head = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}"
    "{% set text = head + m.content if loop.first else m.content %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GEMMA3 = (
    "{{ bos_token }}{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% set rest = messages[1:] if messages[0].role == 'system' else messages %}"
    "{% for m in rest %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ first if loop.first else '' }}{% if m.content is string %}{{ m.content | trim }}{% endif %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
QWEN25 = (
    "{% if tools %}Call by <tool_call></tool_call>.{% endif %}"
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}" + CHATML
)
QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' and not "
    "(m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set text = m.content %}{% if m.role == 'assistant' %}{% set why = '' %}"
    "{% if '</think>' in text %}"
    "{% set why = text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "<|im_start|>assistant\n{% if loop.index0 > ns.last %}"
    "{{ '<think>\n' + why.strip('\n') + '\n</think>\n\n' + text.lstrip('\n') }}"
    "{% else %}{{ text }}{% endif %}<|im_end|>\n"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if tools %}<tool_call></tool_call>{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
DEEPSEEK = (
    "{% set ns = namespace(head='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.head = ns.head + m.content %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.head }}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'assistant' %}{% set text = m.content %}{% if '</think>' in text %}"
    "{% set text = text.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + text + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' + opening }}{% endif %}"
)


@dataclass(frozen=True)
class Kind:
    """A tokenizer with the arguments of its template."""

    name: str
    tokenizer: Any
    kwargs: dict[str, JsonValue] = field(default_factory=dict)
    takes_system: bool = True


def _byte_level(split: str | None, *, normalizer: Any = None, ignore_merges: bool = False) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    own = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        own.normalizer = normalizer
    own.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=False)
        if split is None
        else pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )
    own.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own.train_from_iterator(
        _CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    return own


def _sentence_piece(
    normalizer: Any, pre_tokenizer: Any, special: tuple[str, ...], pieces: tuple[str, ...]
) -> Any:
    """A BPE with byte fallback, as converted from SentencePiece; `pieces` are user-defined ones."""
    import json

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    learner.train_from_iterator(
        _CORPUS, trainers.BpeTrainer(vocab_size=330, special_tokens=list(special), show_progress=False)
    )
    learned = json.loads(learner.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    for text in (*(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "▁"):
        vocabulary.setdefault(text, len(vocabulary))
    merges = [tuple(merge) for merge in learned["merges"]]
    merges += [("▁", "▁")] if "▁▁" in pieces else []
    own = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if normalizer is not None:
        own.normalizer = normalizer
    if pre_tokenizer is not None:
        own.pre_tokenizer = pre_tokenizer
    own.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return own


def _fast(
    own: Any,
    template: str | None,
    special: tuple[str, ...] = (),
    ordinary: tuple[str, ...] = (),
    *,
    rstrip: tuple[str, ...] = (),
    adds_start: bool = False,
    **named: str,
) -> Any:
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    own.add_special_tokens(
        [AddedToken(text, special=True, normalized=False, rstrip=text in rstrip) for text in special]
    )
    own.add_tokens([AddedToken(text, special=False, normalized=False) for text in ordinary])
    if adds_start:
        start = named["bos_token"]
        own.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, own.token_to_id(start))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=own, chat_template=template, **named)


_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CHATML_NAMES = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
_PIECES = ("\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁▁", "<b>", "</b>", "\t")
_GEMMA_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
_GEMMA_NAMES = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
_LLAMA_NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_THINK = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


def _llama2() -> Kind:
    from tokenizers import normalizers

    prefix = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ("<unk>", "<s>", "</s>")
    own = _sentence_piece(prefix, None, special, ())
    return Kind("llama2", _fast(own, LLAMA2, special, adds_start=True, **_LLAMA_NAMES))


def _mistral() -> Kind:
    from tokenizers import pre_tokenizers

    special = ("<unk>", "<s>", "</s>")
    space = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    own = _sentence_piece(None, space, special, ())
    return Kind("mistral", _fast(own, MISTRAL, special, adds_start=True, **_LLAMA_NAMES), takes_system=False)


def _mistral_markers() -> Kind:
    from tokenizers import pre_tokenizers

    special = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
    space = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    own = _sentence_piece(None, space, special, ())
    tokenizer = _fast(own, MISTRAL, special, adds_start=True, **_LLAMA_NAMES)
    return Kind("mistral_markers", tokenizer, takes_system=False)


def _llama3(template: str | None) -> Any:
    special = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    )
    own = _byte_level(_LLAMA3_SPLIT, ignore_merges=True)
    end = "<|eot_id|>" if template else "<|end_of_text|>"
    return _fast(own, template, special, adds_start=True, bos_token="<|begin_of_text|>", eos_token=end)


def _gemma(name: str, template: str, pre_tokenizer: Any, *, takes_system: bool) -> Kind:
    from tokenizers import normalizers

    own = _sentence_piece(normalizers.Replace(" ", "▁"), pre_tokenizer, _GEMMA_TOKENS, _PIECES)
    tokenizer = _fast(own, template, _GEMMA_TOKENS, _PIECES, adds_start=True, **_GEMMA_NAMES)
    return Kind(name, tokenizer, takes_system=takes_system)


def _qwen(template: str, ordinary: tuple[str, ...]) -> Any:
    from tokenizers import normalizers

    own = _byte_level(_LLAMA3_SPLIT.replace("{1,3}", ""), normalizer=normalizers.NFC())
    return _fast(own, template, _CHATML_TOKENS, ordinary, **_CHATML_NAMES)


def _phi() -> Kind:
    from tokenizers import normalizers

    prefix = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    base = ("<unk>", "<s>", "</s>")
    markers = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>")
    names = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"}
    own = _sentence_piece(prefix, None, base, ())
    return Kind("phi", _fast(own, PHI, (*base, *markers), rstrip=markers[1:], **names))


def _deepseek() -> Kind:
    ordinary = ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>")
    special = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>")
    own = _byte_level(_GPT2_SPLIT)
    names = {"bos_token": special[0], "eos_token": special[1], "pad_token": special[2]}
    tokenizer = _fast(own, DEEPSEEK, special, ordinary, adds_start=True, **names)
    return Kind("deepseek", tokenizer, {"opening": "<think>\n"})


def _neox() -> Kind:
    from tokenizers import normalizers

    own = _byte_level(None, normalizer=normalizers.NFC())
    runs = tuple(" " * n for n in range(24, 1, -1))
    special = ("<|endoftext|>", "<|padding|>")
    names = {"bos_token": special[0], "eos_token": special[0], "unk_token": special[0]}
    return Kind("neox_base", _fast(own, None, special, runs, **names))


def _gpt2() -> Kind:
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    return Kind("gpt2_base", _fast(_byte_level(None), None, ("<|endoftext|>",), **names))


def _unigram() -> Kind:
    """A SentencePiece Unigram, whose special tokens are pieces of the model, too."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = ("<pad>", "<s>", "</s>", "<unk>")
    own = Tokenizer(models.Unigram())
    own.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    own.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    own.decoder = decoders.Metaspace(prepend_scheme="always")
    learner = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    own.train_from_iterator(_CORPUS, learner)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return Kind("unigram", _fast(own, CHATML.replace("<|im_end|>", "</s>"), special, **names))


@lru_cache(maxsize=1)
def kinds() -> dict[str, Kind]:
    """Every kind by name; each is built once."""
    from tokenizers import pre_tokenizers

    spaces = pre_tokenizers.Split(" ", "merged_with_previous")
    found = (
        Kind("chatml", _fast(_byte_level(None), CHATML, _CHATML_TOKENS, **_CHATML_NAMES)),
        _llama2(),
        _mistral(),
        _mistral_markers(),
        Kind("llama3", _llama3(LLAMA3)),
        Kind("llama3_base", _llama3(None)),
        _gemma("gemma2", GEMMA2, None, takes_system=False),
        _gemma("gemma3", GEMMA3, spaces, takes_system=True),
        Kind("qwen25", _qwen(QWEN25, ("<tool_call>", "</tool_call>", "<|fim_prefix|>"))),
        Kind("qwen3", _qwen(QWEN3, _THINK)),
        Kind("qwen3_no_thinking", _qwen(QWEN3, _THINK), {"enable_thinking": False}),
        _phi(),
        _deepseek(),
        _neox(),
        _gpt2(),
        _unigram(),
    )
    return {kind.name: kind for kind in found}


NAMES = (
    "chatml",
    "llama2",
    "mistral",
    "mistral_markers",
    "llama3",
    "llama3_base",
    "gemma2",
    "gemma3",
    "qwen25",
    "qwen3",
    "qwen3_no_thinking",
    "phi",
    "deepseek",
    "neox_base",
    "gpt2_base",
    "unigram",
)
"""Names of the kinds, known without building them."""
