"""Models for the tests: the embedded one, loaded once, and tiny random ones that run in milliseconds."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import core.progress
from core.notices import LOGGER
from engines.config import EngineConfig, ModelConfig
from publius.console import NoticeHandler

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from engines.hf.engine import TransformersEngine
    from engines.loading import ModelFiles
    from engines.tokenization import TurnEncoder
    from engines.vllm.engine import VllmEngine

# Nothing is sent anywhere by the libraries under test; the hub's client reads this when it is imported.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

TINY_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


_LONGEST_ID = 60


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten the ids of long texts: a megabyte of them would travel between the worker processes."""
    if not isinstance(val, str | bytes) or len(val) <= _LONGEST_ID:
        return None
    start = ascii(val[:_LONGEST_ID])
    return f"{start}... ({len(val)})"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a long test where only long ones are wanted: all take 35 s to import."""
    if config.getoption("markexpr") != "long" or not collection_path.match("test_*.py"):
        return None
    return "mark.long" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of vLLM in one worker process, and let begin what takes longest (`--dist loadgroup`).

    Two hosts at once would wait for each other's cores, and each would load the same model. A browser that
    ran out of time is tried once more, since a machine that pauses fails it too.
    """
    for item in items:
        if item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.xdist_group("vllm"))
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["TimeoutError"]))
    if config.getoption("loadgroup", False):
        from tests.scheduling import heaviest_first

        heaviest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the other tests of a file together too, where `--dist loadgroup` is given."""
    if config.getoption("dist") != "loadgroup":
        return None
    from tests.scheduling import FilesAndGroups

    return FilesAndGroups(config, log)


@pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
def pytest_require_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fail if pytest-xdist does not see the groups: it writes them behind the ids of the tests."""
    if config.getoption("loadgroup", False):
        for item in items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError(f"--dist loadgroup groups nothing with pytest {pytest.__version__}")


@pytest.fixture(autouse=True)
def _as_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices and progress go to the log, whether or not something ran a command in this process before."""
    monkeypatch.setattr(core.progress, "_on_screen", False)
    monkeypatch.setattr(core.progress, "_facts", {})
    monkeypatch.setattr(LOGGER, "handlers", [h for h in LOGGER.handlers if not isinstance(h, NoticeHandler)])
    LOGGER.setLevel(logging.NOTSET)


@pytest.fixture(scope="module", autouse=True)
def _little_garbage() -> None:
    """Keep what is there for good, imports above all, out of garbage collection.

    Each training asks for collections. Once torch, transformers and TRL are imported, one takes half a
    second, longer than a tiny model takes to learn.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def embedded_files() -> ModelFiles:
    """Where the embedded model is; it is converted first where needed."""
    from engines.embedded import embedded_folder, is_complete, wheel_is_installed
    from engines.loading import locate

    if not is_complete(embedded_folder()) and not wheel_is_installed():
        pytest.skip("the embedded model is not installed; run: publius models pull")
    return locate(ModelConfig(id="embedded"))


@pytest.fixture(scope="session")
def embedded_encoder(embedded_files: ModelFiles) -> TurnEncoder:
    """The encoder of the embedded model, which needs no weights."""
    from engines.loading import load_tokenizer
    from engines.tokenization import TurnEncoder

    return TurnEncoder(load_tokenizer(embedded_files), {}, embedded_files.name)


@pytest.fixture(scope="session")
def embedded_engine(embedded_files: ModelFiles) -> Iterator[TransformersEngine]:
    """The embedded model behind the engine, shared by all slow tests."""
    from engines.hf.engine import TransformersEngine

    engine = TransformersEngine(ModelConfig(id="embedded"), EngineConfig(device="cpu", max_batch=16))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_engine(embedded_files: ModelFiles) -> Iterator[VllmEngine]:
    """The embedded model on vLLM, which takes up to a minute to load: shared by all that need no other."""
    from engines.vllm.engine import VllmEngine

    config = EngineConfig(kind="vllm", device="cpu", kv_cache_gib=2)
    engine = VllmEngine(ModelConfig(id="embedded"), config)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def reference_model(embedded_files: ModelFiles) -> Any:
    """The embedded model as transformers loads and runs it, with nothing of ours."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(embedded_files.folder, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., PreTrainedModel]:
    """A factory of random two-layer models with four heads over two, float32; keywords go to the config."""

    def build(seed: int = 0, attention: str = "publius_grouped", **config: Any) -> PreTrainedModel:
        import torch
        from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

        from engines.hf.attention import register

        register()
        kind = MistralConfig if "sliding_window" in config else LlamaConfig
        defaults = {
            "vocab_size": 300,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "initializer_range": 0.5,  # wide, so that the next token is seldom a near-tie
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            kind(**{**defaults, **config}), attn_implementation=attention
        )
        return model.eval()

    return build


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[..., PreTrainedTokenizerBase]:
    """A factory of byte tokenizers: ids 0 to 2 are special, then come all bytes, then `extra`."""

    def build(chat_template: str | None = None, extra: tuple[str, ...] = (), **options: Any) -> Any:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        special = options.pop("special", TINY_SPECIAL)
        words = [*TINY_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *extra]
        vocabulary = {word: number for number, word in enumerate(words)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(list(special))
        names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", **options}
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=chat_template, **names)

    return build


@pytest.fixture(scope="session")
def tiny_folder(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., PreTrainedModel],
    tiny_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> Path:
    """A folder with a tiny random model that speaks ChatML, as any model on disk."""
    from engines.tokenization import CHATML

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model(attention="sdpa", initializer_range=0.1).save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, so that nothing is written to the user's."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("PUBLIUS_CACHE", str(folder))
    return folder
