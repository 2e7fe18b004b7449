"""`publius prompts`: what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.digests import digest
from core.errors import ConfigError, DataError, EngineError, PubliusError, RequestError, RunStateError
from core.records import Generation, Prompt
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, Engine, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.authoring.prompts import PromptsRequest, PromptsResult, synthesise
from publius.runs.engines import EngineMaker
from publius.sources.prompts import read_prompts
from tests.publius.invoking import here

CONSTITUTION = """\
name: desk
principles:
  - {id: honest, text: The reply admits what it does not know.}
  - {id: kind, text: The reply is kind to a tired customer., applies_to: {tags: [shop]}}
"""


@pytest.fixture
def constitution(tmp_path: Path) -> Path:
    path = tmp_path / "constitution.yaml"
    path.write_text(CONSTITUTION, encoding="utf-8")
    return path


def unlike(request: GenerationRequest) -> str:
    """A question of its own for every request."""
    words = digest(request.seed)
    return f'Sure! Here is the message: "Which {words[:8]} has {words[8:16]} near {words[16:24]}?"'


class Asked:
    """Makes engines, and remembers them."""

    def __init__(self, **options: Any) -> None:
        self.options, self.engines = {"answerer": unlike, **options}, list[ScriptedEngine]()

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> Engine:
        self.engines.append(ScriptedEngine(model=model.id, **self.options))
        return self.engines[-1]

    @property
    def requests(self) -> list[GenerationRequest | ChoiceRequest]:
        return [request for engine in self.engines for request in engine.history]


def made(
    constitution: Path, count: int, to: Path, make: EngineMaker | None = None, **more: Any
) -> PromptsResult:
    request = PromptsRequest(str(constitution), count, to, model="some-model", **more)
    return synthesise(request, make or Asked())


def test_file_holds_the_prompts_as_a_run_reads_them(constitution: Path, tmp_path: Path):
    result = made(constitution, 40, tmp_path / "prompts.jsonl")
    prompts = list(read_prompts(tmp_path / "prompts.jsonl"))
    assert prompts == result.synthesis.prompts
    kinds = [next(tag for tag in prompt.tags) for prompt in prompts]
    assert [kinds.count(kind) for kind in ("tempting", "borderline", "everyday")] == [20, 10, 10]
    assert sum("honest" in prompt.tags for prompt in prompts) == 20
    assert all(("shop" in prompt.tags) == ("kind" in prompt.tags) for prompt in prompts)
    assert {prompt.source for prompt in prompts} == {"synthesised by some-model"}
    assert all(prompt.messages[-1].content.startswith("Which ") for prompt in prompts)


def test_same_command_gives_the_same_file_and_asks_nothing_again(constitution: Path, tmp_path: Path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    made(constitution, 12, one)
    again = Asked()
    result = made(constitution, 12, two, again)
    assert one.read_bytes() == two.read_bytes()
    assert (again.requests, result.asked, result.reused) == ([], 0, 12)


def test_command_that_broke_off_goes_on_where_it_was_ended(constitution: Path, tmp_path: Path):
    class Stops(ScriptedEngine):
        async def generate(self, request: GenerationRequest) -> Generation:
            if len(self.history) == 5:
                raise EngineError("the engine is gone")
            return await super().generate(request)

    to = tmp_path / "prompts.jsonl"
    with pytest.raises(EngineError):
        made(constitution, 12, to, lambda model, _: Stops(model=model.id, answerer=unlike))
    assert not to.exists()
    result = made(constitution, 12, to)
    assert (result.asked, result.reused) == (7, 5)
    made(constitution, 12, tmp_path / "whole.jsonl")
    assert to.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_is_missing_at_the_end_is_told_with_the_reasons(constitution: Path, tmp_path: Path):
    def declines_kindness(request: GenerationRequest) -> str:
        kind = "tired customer" in request.turns[-1].text
        return "I'm sorry, but I can't help with that." if kind else unlike(request)

    result = made(constitution, 8, tmp_path / "prompts.jsonl", Asked(answerer=declines_kindness))
    summary = result.as_json()
    assert (summary["wanted"], summary["got"]) == (8, 4)
    assert summary["left_out"] == {"the model declined": 36}
    assert summary["principles"]["kind"]["tempting"] == {"wanted": 2, "got": 0}
    assert "kind: 0 of 2 tempting prompts after 12 attempts" in result.warnings
    assert len(result.warnings) == 3


def test_request_that_does_not_fit_is_counted(constitution: Path, tmp_path: Path):
    class Short(ScriptedEngine):
        async def generate(self, request: GenerationRequest) -> Generation:
            if "tired customer" in request.turns[-1].text:
                raise RequestError("too long for the model", detail="9 tokens")
            return await super().generate(request)

    result = made(
        constitution, 2, tmp_path / "p.jsonl", lambda model, _: Short(model=model.id, answerer=unlike)
    )
    assert (result.as_json()["got"], result.synthesis.rejected) == (1, {"too long for the model": 12})


def test_no_usable_reply_writes_nothing(constitution: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"24 empty.*nothing was written"):
        made(constitution, 2, tmp_path / "p.jsonl", Asked(answerer=lambda _: ""))
    assert not (tmp_path / "p.jsonl").exists()


def test_only_named_principles_get_prompts(constitution: Path, tmp_path: Path):
    result = made(constitution, 4, tmp_path / "p.jsonl", only=("kind",))
    assert {prompt.tags[1] for prompt in result.synthesis.prompts} == {"kind"}
    assert list(result.as_json()["principles"]) == ["kind"]


def test_constitution_whose_scopes_hold_no_kind_is_refused(constitution: Path, tmp_path: Path):
    constitution.write_text(
        "name: x\nprinciples:\n"
        "  - {id: a, text: Be kind., except: {tags: [tempting, borderline, everyday]}}\n",
        encoding="utf-8",
    )
    with pytest.raises(
        ConfigError, match="the scopes of the principles include none of tempting, borderline, everyday"
    ):
        made(constitution, 2, tmp_path / "p.jsonl")


def test_given_prompts_are_not_repeated(constitution: Path, tmp_path: Path):
    seeds = tmp_path / "seeds.txt"
    first = made(constitution, 4, tmp_path / "one.jsonl").synthesis.prompts
    seeds.write_text("\n".join(prompt.messages[-1].content for prompt in first), encoding="utf-8")
    second = made(constitution, 4, tmp_path / "two.jsonl", seeds_from=seeds).synthesis
    assert not {prompt.id for prompt in first} & {prompt.id for prompt in second.prompts}


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_than_one_prompt_is_refused(constitution: Path, tmp_path: Path, count: int):
    with pytest.raises(ConfigError, match=r"-n: found .*accepted: a whole number of at least 1"):
        made(constitution, count, tmp_path / "p.jsonl")


def test_file_that_is_there_is_never_overwritten(constitution: Path, tmp_path: Path):
    to = tmp_path / "p.jsonl"
    to.write_text("mine", encoding="utf-8")
    asked = Asked()
    with pytest.raises(
        RunStateError, match=r"the file already exists; no request was sent.*new file for --to"
    ):
        made(constitution, 2, to, asked)
    assert (to.read_text(encoding="utf-8"), asked.requests) == ("mine", [])


def test_file_that_came_in_the_meantime_is_not_overwritten(constitution: Path, tmp_path: Path):
    to = tmp_path / "p.jsonl"

    def writes(request: GenerationRequest) -> str:
        to.write_text("theirs", encoding="utf-8")
        return unlike(request)

    with pytest.raises(RunStateError, match="path already exists"):
        made(constitution, 1, to, Asked(answerer=writes))
    assert to.read_text(encoding="utf-8") == "theirs"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"to": "missing/p.jsonl"}, "no such file or folder"),
        ({"to": "p.csv"}, "accepted: the name of a .jsonl file"),
        ({"only": ("hones",)}, "unknown principle 'hones'.*did you mean 'honest'"),
        ({"seeds_from": Path("nowhere.txt")}, "nowhere.txt: no such file or folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_asked(
    constitution: Path, tmp_path: Path, options: dict[str, Any], expected: str
):
    asked = Asked()
    to = tmp_path / options.pop("to", "p.jsonl")
    with pytest.raises(PubliusError, match=expected):
        made(constitution, 2, to, asked, **options)
    assert asked.engines == []


def test_command_tells_mistakes_in_one_line(constitution: Path, tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nprinciples:\n  - {id: a, text: ''}\n", encoding="utf-8")
    done = here("prompts", bad, "-n", 2, "--to", tmp_path / "p.jsonl")
    assert done.returncode == 2
    assert "bad.yaml:3:" in done.stderr
    done = here(
        "prompts", "harmless", "-n", 2, "--to", tmp_path / "p.jsonl", "--model", tmp_path / "no-model"
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p.jsonl").exists()


@pytest.mark.slow
def test_embedded_model_writes_prompts_and_is_told_to_be_none_to_rely_on(
    constitution: Path, tmp_path: Path, embedded_files: object
):
    to = tmp_path / "prompts.jsonl"
    done = here("prompts", constitution, "-n", 2, "--to", to, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    prompts: list[Prompt] = list(read_prompts(to))
    assert 1 <= summary["got"] == len(prompts) <= summary["wanted"] == 2
    assert "the embedded model is only good enough to try this command" in done.stderr
    assert summary["asked"] >= 2
    assert all("Rule for the assistant" not in prompt.messages[-1].content for prompt in prompts)
