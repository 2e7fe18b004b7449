"""Makes the recorded project anew, by whichever version of Publius is installed beside this Python.

    python tests/publius/recorded/make.py

Constitution, prompts and run file stay as they are; the tiny random model, people's labels, the run and the
request cache are made. What is rebuilt anyway (indexes, locks) is left out, and paths of this machine become
relative. Wherever a change is meant to start another run (a template, a default), the project is made anew;
the figures in test_recorded.py then follow.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, set_seed

from engines.tokenization import CHATML

PROJECT = Path(__file__).resolve().parent / "project"
MADE = ("models", "people", "runs", ".publius")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LETTERS = (("Ġ", "A"), ("Ġ", "B"))
"""A labeler answers with one letter behind a space, which must be one token."""
OWN_PAIRS = (
    ("What is the capital of France?", "paris.", "London, I think."),
    ("How are you?", "well, and you?", "No."),
)
"""Questions that the run has not, each with a better and a worse reply."""


def main() -> None:
    for name in MADE:
        shutil.rmtree(PROJECT / name, ignore_errors=True)
    write_model(PROJECT / "models" / "tiny")
    for stage in ("critique", "compare"):
        publius(stage, "run.yaml", "--set", "label.humans=[]")
    write_labels(PROJECT / "people.jsonl")
    publius("import", "labels", "people.jsonl", "--to", "people")
    shutil.rmtree(PROJECT / "runs")
    publius("run", "run.yaml")
    tidy()


def publius(*arguments: str) -> None:
    """Run a command in the project, with nothing left in the user's cache."""
    program = Path(sys.executable).with_name("publius")
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PUBLIUS_CACHE": cache}
        subprocess.run([program, *arguments], cwd=PROJECT, env=environment, check=True)


def write_model(folder: Path) -> None:
    """Write a random model of one layer over bytes, which speaks ChatML and has room for long prompts."""
    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, LETTERS)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[*LETTERS]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=CHATML, pad_token=SPECIAL[0], eos_token=SPECIAL[2]
    )
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        initializer_range=0.5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def write_labels(path: Path) -> None:
    """Write two people's opinions on some of the run's own pairs, and on pairs that it has not."""
    (comparisons,) = PROJECT.glob("runs/*/comparisons.jsonl")
    pairs = [json.loads(line) for line in sorted(comparisons.read_text(encoding="utf-8").splitlines())[:4]]
    rows = [
        {
            "prompt": pair["prompt"]["messages"][-1]["content"],
            "response_a": pair["response_a"],
            "response_b": pair["response_b"],
            "verdict": "ab"[number % 2],
            "annotator": "anna",
        }
        for number, pair in enumerate(pairs)
    ]
    for prompt, better, worse in OWN_PAIRS:
        said = {"prompt": prompt, "response_a": better, "response_b": worse}
        rows += [
            {**said, "verdict": verdict, "annotator": who} for who, verdict in (("anna", "a"), ("ben", "tie"))
        ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tidy() -> None:
    """Leave out what is rebuilt, close the cache into one small file, and make paths relative."""
    for path in [*PROJECT.rglob("index.sqlite"), *PROJECT.rglob(".lock")]:
        path.unlink()
    with sqlite3.connect(PROJECT / ".publius" / "cache.sqlite", isolation_level=None) as cache:
        cache.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cache.execute("VACUUM")
    cache.close()
    for path in PROJECT.rglob("adapter_config.json"):
        _replace(path, f"{PROJECT}/", "")
    for path in PROJECT.rglob("resolved.yaml"):
        _replace(path, f"{PROJECT}/", "../../")


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main()
