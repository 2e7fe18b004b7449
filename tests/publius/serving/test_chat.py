"""Chat: who answers, what each remembers, how answers are shown, and every way in which it ends."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import ConfigError, EngineError, RequestError, RunStateError
from core.records import Generation, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from publius.console import SafeConsole
from publius.serving.chat import ChatRequest, open_chat
from publius.stages.runner import RunRequest, execute
from publius.views.chat import chat_with, print_replies
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project
from tests.publius.test_cli import PROGRAM, REPOSITORY, mistakes
from tests.publius.trainable import roomy, write_trainable


class Speakers:
    """Makes scripted engines that answer with their own name, and keeps what each was asked."""

    def __init__(self, answerer: Callable[[str, GenerationRequest], str] | None = None) -> None:
        self.asked: list[tuple[str, GenerationRequest]] = []
        self.closed: list[str] = []
        self._answerer = answerer or (lambda name, request: f"{name} heard {request.turns[-1].text}")

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        name = Path(model.adapter).name if model.adapter else "base"

        def answer(request: GenerationRequest) -> str:
            self.asked.append((name, request))
            return self._answerer(name, request)

        closed = self.closed

        class Speaker(ScriptedEngine):
            def close(self) -> None:
                closed.append(name)

        return Speaker(answerer=answer, model=name)

    def conversations(self, name: str) -> list[list[str]]:
        """Return what a variant saw, one list of texts per request."""
        return [[turn.text for turn in request.turns] for who, request in self.asked if who == name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished scripted run."""
    return execute(RunRequest(write_project(tmp_path, 3))).folder


def trained(folder: Path, *methods: str) -> Path:
    """Mark methods as trained in a run; the scripted engine needs no weights."""
    for method in methods:
        (folder / method).mkdir()
        (folder / method / "training.json").write_text("{}")
    return folder


def talk(folder: Path, *lines: str, speakers: Speakers | None = None, **options: object) -> Speakers:
    speakers = speakers or Speakers()
    request = ChatRequest(folder, **options)  # type: ignore[arg-type]
    chat_with(request, speakers, [f"{line}\n" for line in lines])
    return speakers


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ((), ["base"]),
        (("sft",), ["base", "sft"]),
        (("dpo",), ["base", "dpo"]),
        (("sft", "dpo"), ["base", "dpo"]),
    ],
)
def test_base_and_the_last_trained_variant_answer(
    folder: Path, methods: tuple[str, ...], expected: list[str]
):
    assert [name for name, _ in talk(trained(folder, *methods), "Hello").asked] == expected


def test_variants_are_chosen_by_name_and_answer_once_each(folder: Path):
    speakers = talk(trained(folder, "sft", "dpo"), "Hello", variants=("dpo", "sft", "dpo"))
    assert [name for name, _ in speakers.asked] == ["dpo", "sft"]


def test_prompted_is_base_with_the_constitution_of_the_run(folder: Path, tmp_path: Path):
    (tmp_path / "constitution.yaml").write_text("name: other\nprinciples: [The reply rhymes.]\n")
    speakers = talk(folder, "Hello", variants=("prompted",))
    ((system, user),) = speakers.conversations("base")
    assert "The reply is kind to the person who asks." in system
    assert "rhymes" not in system
    assert user == "Hello"


def test_each_variant_sees_its_own_earlier_answers(folder: Path):
    speakers = talk(trained(folder, "sft"), "One", "", "   ", "Two")
    for name in ("base", "sft"):
        assert speakers.conversations(name) == [["One"], ["One", f"{name} heard One", "Two"]]


def test_reset_forgets_and_quit_ends(folder: Path):
    speakers = talk(folder, "One", "/reset", "Two", "/quit", "Three")
    assert speakers.conversations("base") == [["One"], ["Two"]]


def test_a_question_after_a_reset_is_drawn_anew_where_answers_are_sampled(folder: Path):
    speakers = talk(folder, "One", "/reset", "One", temperature=0.5)
    first, second = (request for _, request in speakers.asked)
    assert first.sampling.temperature == 0.5
    assert first.seed != second.seed
    again = talk(folder, "One", "/reset", "One", temperature=0.5)
    assert again.asked == []  # the very same chat finds its answers in the cache


def test_sampling_is_that_of_the_evaluation(folder: Path):
    ((_, request),) = talk(folder, "Hello").asked
    assert (request.sampling.temperature, request.sampling.max_new_tokens) == (0.0, 512)
    assert request.purpose == "chat"


def test_the_longest_answer_is_chosen(folder: Path):
    ((_, request),) = talk(folder, "Hello", max_new_tokens=24).asked
    assert (request.sampling.temperature, request.sampling.max_new_tokens) == (0.0, 24)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(folder: Path, temperature: float):
    with pytest.raises(ConfigError, match="--temperature"):
        talk(folder, "Hello", temperature=temperature)


def test_a_chat_leaves_the_run_as_it_was(folder: Path):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    talk(folder, "Hello")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_that_is_under_way_can_be_talked_to(folder: Path):
    from core.store.record_store import RecordStore

    with RecordStore(folder):
        assert talk(folder, "Hello").asked


def test_an_untrained_variant_is_refused_with_those_that_there_are(folder: Path):
    with pytest.raises(RunStateError) as caught:
        talk(trained(folder, "sft"), "Hello", variants=("base", "dpo"))
    (problem,) = caught.value.problems
    assert problem.what == "dpo is not trained in this run"
    assert problem.accepted == "base, prompted, sft"
    assert problem.run == "publius train dpo RUN.yaml"


def test_an_unknown_variant_is_refused_with_all_there_can_be(folder: Path):
    with pytest.raises(
        ConfigError, match="unknown variant 'kto'; accepted: base, prompted, sft, dpo, ppo, rloo, grpo"
    ):
        talk(folder, "Hello", variants=("kto",))


def test_with_vllm_only_one_model_is_loaded_at_a_time(tmp_path: Path):
    run = RUN.replace("kind: scripted", "kind: vllm")
    folder = execute(RunRequest(write_project(tmp_path, 2, run)), Speakers()).folder
    speakers = Speakers()
    with open_chat(ChatRequest(trained(folder, "sft")), speakers) as chat:
        asyncio.run(chat.ask("Hello"))
        assert speakers.closed == ["sft", "base"]  # each before the other is asked
    loaded_together = Speakers()
    scripted = execute(RunRequest(write_project(tmp_path / "scripted", 2))).folder
    with open_chat(ChatRequest(trained(scripted, "sft")), loaded_together) as chat:
        asyncio.run(chat.ask("Hello"))
        assert loaded_together.closed == []


class Narrow(ScriptedEngine):
    """Takes conversations of one message only."""

    async def generate(self, request: GenerationRequest) -> Generation:
        if len(request.turns) > 1:
            raise RequestError("the conversation is too long for the model", detail="9 tokens")
        return await super().generate(request)


def test_a_conversation_that_is_too_long_is_one_line_and_goes_on_after_reset(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    engines: list[Narrow] = []

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        engines.append(Narrow(answerer=lambda request: f"To {request.turns[-1].text}", model="narrow"))
        return engines[-1]

    chat_with(ChatRequest(folder), make, ["One", "Two", "/reset", "Three"])
    printed = capsys.readouterr().out
    assert "To One" in printed
    said = "not asked: the conversation is too long for the model (9 tokens); /reset starts"
    assert said in printed
    assert "To Three" in printed


def test_a_failing_engine_is_not_taken_for_a_long_request(folder: Path):
    def fail(name: str, request: GenerationRequest) -> str:
        raise EngineError("out of memory", where="engine")

    with pytest.raises(EngineError, match="out of memory"):
        talk(folder, "Hello", speakers=Speakers(fail))


def reply(text: str, finish_reason: str = "stop") -> Generation:
    return Generation.model_validate(
        {
            "text": text,
            "finish_reason": finish_reason,
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "model": "m",
            "sampling": Sampling(max_new_tokens=7),
        }
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], SafeConsole]:
    """Has chat print to a terminal of a given width, and records what it prints."""

    def of_width(width: int) -> SafeConsole:
        console = SafeConsole(
            width=width,
            force_terminal=True,
            record=True,
            quiet=False,
            file=open(os.devnull, "w"),  # noqa: SIM115
        )
        monkeypatch.setattr("publius.views.chat.out", console)
        monkeypatch.setattr("publius.console.out", console)
        return console

    return of_width


def test_answers_stand_side_by_side_where_there_is_room(terminal: Callable[[int], SafeConsole]):
    replies = {"base": reply("left side"), "dpo": reply("right side")}
    console = terminal(100)
    print_replies(replies)
    assert any("left side" in line and "right side" in line for line in console.export_text().splitlines())
    console = terminal(60)
    print_replies(replies)
    lines = console.export_text().split("\n")
    assert [line.strip() for line in lines if line.strip()] == ["base", "left side", "dpo", "right side"]


HOSTILE = "[bold]x[/bold] [/nothing] \x1b]0;owned\x07\x1b[2J\x9b31m a\rb\x08\x00 c\ttab\nline"


def test_model_text_neither_marks_up_nor_drives_the_terminal(terminal: Callable[[int], SafeConsole]):
    for width in (100, 40):
        console = terminal(width)
        print_replies({"base": reply(HOSTILE), "dpo": reply(HOSTILE)})
        text = console.export_text(styles=False)
        assert "[bold]x[/bold] [/nothing]" in text
        assert not set(text) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))


def test_an_answer_that_was_cut_says_so(capsys: pytest.CaptureFixture[str]):
    print_replies({"base": reply("and so", "length")})
    assert "and so [cut at 7 tokens]" in capsys.readouterr().out


def test_one_prompt_is_asked_once_and_printed_as_json(folder: Path):
    done = here("chat", folder, "--with", "base", "--with", "prompted", "--prompt", "Hello", "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["prompt"] == "Hello"
    assert set(content["answers"]) == {"base", "prompted"}
    assert all(content["answers"].values())


def test_text_that_is_no_unicode_is_answered(folder: Path):
    command = [sys.executable, "-c", PROGRAM, "chat", str(folder), "--json", "--prompt", b"caf\xe9"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["prompt"] == "caf?"
    command = [sys.executable, "-c", PROGRAM, "chat", str(folder)]
    done = subprocess.run(command, capture_output=True, env=env, check=False, input=b"caf\xe9 \xff\n")
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--json",), "--json with --prompt"),
        (("--prompt", "  "), "the prompt is empty"),
        (("--with", "dpo"), "dpo is not trained in this run"),
        (("--with", "kto"), "unknown variant 'kto'"),
        (("--temperature", "warm"), "temperature"),
        (("--temperature", "-1"), "--temperature: found -1.0"),
        (("--max-new-tokens", "0"), "--max-new-tokens: found 0"),
        (("--max-new-tokens", "many"), "max-new-tokens"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], expected: str):
    (line,) = mistakes(here("chat", folder, *arguments))
    assert expected in line


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path):
    (line,) = mistakes(here("chat", tmp_path, "--prompt", "Hello"))
    assert "not a run folder" in line
    (line,) = mistakes(here("chat", tmp_path / "absent", "--prompt", "Hello"))
    assert "not a run folder" in line


def test_a_run_folder_without_its_configuration_is_one_line(folder: Path):
    (folder / "resolved.yaml").unlink()
    (line,) = mistakes(here("chat", folder, "--prompt", "Hello"))
    assert "resolved.yaml" in line


@pytest.fixture(scope="module")
def real_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tiny policy is trained by SFT."""
    project = tmp_path_factory.mktemp("real")
    run_file = write_trainable(project, roomy(tiny_folder, project / "model"), train="[sft]")
    return execute(RunRequest(run_file, stages=("critique", "sft"))).folder


def test_a_trained_model_is_talked_to_through_a_pipe(real_run: Path):
    command = [sys.executable, "-c", PROGRAM, "chat", str(real_run)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    text = "What is two times two?\n\nAnd three?\n/reset\nWhat is two times two?\n/quit\nNever read\n"
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, env=env, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    blocks = [(line, lines[number + 1]) for number, line in enumerate(lines) if line in ("base", "sft")]
    assert [name for name, _ in blocks] == ["base", "sft"] * 3
    assert blocks[0] == blocks[4]  # greedy, and /reset forgot the rest
    assert blocks[1] == blocks[5]
    assert blocks[0][1] != blocks[1][1], "training changed nothing"
    assert ">" not in lines
    assert b"\x1b" not in done.stdout


def test_the_adapter_s_answers_are_those_of_the_evaluation_engine(real_run: Path):
    arguments = ("chat", real_run, "--with", "sft", "--prompt", "Question number 4?", "--json")
    answer = json.loads(here(*arguments).stdout)["answers"]["sft"]
    execute(RunRequest(real_run.parents[1] / "run.yaml", stages=("eval",)))
    from publius.runs.reader import RunReader

    (evaluated,) = (
        answer.generation.text
        for answer in RunReader(real_run).answers
        if answer.variant == "sft" and answer.prompt.messages[-1].content == "Question number 4?"
    )
    assert answer == evaluated


def test_too_long_a_prompt_is_one_line(real_run: Path):
    (line,) = mistakes(here("chat", real_run, "--prompt", "word " * 2000))
    assert "long" in line or "fit" in line


IN_FRONT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
"""A shell lets the program in front be interrupted. One in the background inherits that interrupts are
ignored, and so would the chat here, wherever the tests themselves run in the background."""


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.master, follower = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120", "TERM": "xterm"}
        command = [sys.executable, "-c", IN_FRONT + PROGRAM, "chat", str(folder)]
        command += ["--with", "base", "--with", "prompted"]
        self.process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, env=env, start_new_session=True
        )
        os.close(follower)
        self.seen = ""
        self._found = 0

    def wait_for(self, text: str) -> None:
        """Read until a text has been shown, behind the one that was waited for before."""
        limit = time.monotonic() + 60
        while text not in self.seen[self._found :]:
            assert time.monotonic() < limit, self.seen
            if select.select([self.master], [], [], 1.0)[0]:
                self.seen += os.read(self.master, 4096).decode()
        self._found = self.seen.index(text, self._found) + len(text)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())


@pytest.fixture
def terminal_chat(folder: Path) -> Iterator[Terminal]:
    chat = Terminal(folder)
    yield chat
    chat.process.kill()
    chat.process.wait()
    os.close(chat.master)


def test_end_of_input_at_a_terminal_ends_with_0(terminal_chat: Terminal):
    terminal_chat.wait_for("> ")
    terminal_chat.type("Hello there\n")
    terminal_chat.wait_for("prompted")
    terminal_chat.wait_for("> ")
    assert any("base" in line and "prompted" in line for line in terminal_chat.seen.splitlines()[2:])
    terminal_chat.type("\x04")
    assert terminal_chat.process.wait(60) == 0


def test_an_interrupt_ends_with_130(terminal_chat: Terminal):
    terminal_chat.wait_for("> ")
    # Between showing the prompt and waiting for keys, readline takes note of a signal only at the next event.
    for _ in range(6):
        terminal_chat.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            assert terminal_chat.process.wait(10) == 130
            return
    pytest.fail("six interrupts did not end the chat")
