"""Input and output of `publius chat` (messages typed, replies side by side); output of `serve`, `studio`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from rich.table import Table
from rich.text import Text

from core.errors import ConfigError, RequestError
from core.notices import counted, note
from core.records import Prompt
from core.terminal.interrupts import run_interruptibly
from core.web.links import PageLink
from publius.console import ALARM, emit, heading, out
from publius.runs.engines import EngineMaker, make_engine
from publius.serving.chat import Chat, ChatReply, ChatRequest, Replies, open_chat
from publius.serving.served import Listening, Stopped
from publius.sources.prompts import read_prompts
from publius.sources.splits.mapping import unread_splits

RESET, QUIT = "/reset", "/quit"

_COLUMN = 38
"""Minimum width of an answer's column, in characters; narrower ones are hard to read."""


def chat_with(
    request: ChatRequest, make: EngineMaker = make_engine, lines: Iterable[str] | None = None
) -> None:
    """Ask the prompt of the request, or chat until the user ends it.

    Args:
        request: options of the command.
        make: builds an engine; tests pass their own.
        lines: the user's messages; None reads standard input.

    Raises:
        ConfigError: if an option is invalid.
        RequestError: if the prompt of the request is too long for a model.
        RunStateError: if the folder is not a run, or a variant is not trained there.
    """
    if request.as_json and request.prompt is None and request.prompts is None:
        accepted = "--json with --prompt TEXT or --prompts SOURCE"
        raise ConfigError("--prompt is missing", where="--json", accepted=accepted)
    if request.prompt is not None and not request.prompt.strip():
        raise ConfigError("the prompt is empty", where="--prompt", accepted="text that is not blank")
    prompts = () if request.prompts is None else tuple(read_prompts(request.prompts))
    if request.prompts is not None and (unread := unread_splits(request.prompts, in_run_file=False)):
        note(unread)
    with open_chat(request, make) as chat:
        if prompts:
            _ask_all(chat, prompts, request.as_json)
        elif request.prompt is None:
            converse(chat, _typed() if lines is None else lines)
        else:
            _ask_once(chat, request.prompt, request.as_json)


def converse(chat: Chat, lines: Iterable[str]) -> None:
    """Answer each line as a message, until the lines end or one is `/quit`."""
    note(f"{' and '.join(chat.variants)} answer; {RESET} starts a new conversation, {QUIT} ends the chat")
    for line in lines:
        text = line.strip()
        if text == QUIT:
            return
        if text == RESET:
            chat.reset()
            note("new conversation")
        elif text:
            print_replies(run_interruptibly(chat.ask(_encodable(text))))


def print_replies(replies: Mapping[str, ChatReply]) -> None:
    """Print the answers side by side if the terminal is wide enough, else one below the other."""
    if not out.is_terminal or out.width < _COLUMN * len(replies):
        for variant, reply in replies.items():
            heading(variant)
            out.print(_shown(reply))
        return
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for variant in replies:
        table.add_column(variant, ratio=1, overflow="fold")
    table.add_row(*map(_shown, replies.values()))
    out.print(table)


def _ask_all(chat: Chat, prompts: Sequence[Prompt], as_json: bool) -> None:
    """Ask each prompt in a conversation of its own, and print the answers; as JSON, a line for each."""
    note(
        f"{counted(len(prompts), 'prompt')}; {' and '.join(chat.variants)} answer in at most "
        f"{chat.sampling.max_new_tokens} tokens (--max-new-tokens)"
    )
    for prompt in prompts:
        replies = Replies(prompt.messages[-1].content, run_interruptibly(chat.ask_anew(prompt)))
        emit(replies, as_json, _print_asked, on_one_line=True)


def _print_asked(given: Replies) -> None:
    out.print(Text(f"\n> {given.prompt}", style="bold"))
    print_replies(given.by_variant)


def _ask_once(chat: Chat, prompt: str, as_json: bool) -> None:
    text = _encodable(prompt)
    replies = run_interruptibly(chat.ask(text))
    for reply in replies.values():
        if isinstance(reply, RequestError):
            raise reply
    emit(Replies(text, replies), as_json, lambda given: print_replies(given.by_variant))


def _shown(reply: ChatReply) -> Text:
    """Return an answer as text to print. In a `Text`, nothing is read as markup."""
    if isinstance(reply, RequestError):
        return Text(f"not asked: {reply}; {RESET} starts a new conversation", style=ALARM)
    shown = Text(reply.text)
    if reply.finish_reason == "length":
        shown.append(f" [cut at {reply.sampling.max_new_tokens} tokens]", style="dim")
    return shown


def _typed() -> Iterator[str]:
    """Yield the lines of standard input. A terminal gets a prompt and line editing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for line in sys.stdin.buffer:
            yield line.decode("utf-8", errors="replace")
        return
    with suppress(ImportError):  # history and editing, where Python was built with it
        import readline  # noqa: F401
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while True:
        try:
            yield input("\n> ")
        except EOFError:
            out.print()
            return


def _encodable(text: str) -> str:
    """Return a text from the terminal or an option, with bytes that are not UTF-8 replaced."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def print_listening(listening: Listening) -> None:
    """Print how clients reach the server."""
    out.print(f"Serving {', '.join(listening.models)} at {listening.url}/v1", soft_wrap=True, markup=False)
    if listening.token is not None:
        out.print(f"Token: {listening.token}", soft_wrap=True, markup=False)
    elif not listening.needs_token:
        note("no token is needed: every program on this machine may ask")
    note("Press Ctrl-C to stop")


def print_stopped(stopped: Stopped) -> None:
    """Print the number of answers."""
    counts = [f"{count:,} {kind}" for kind, count in stopped.answered.items()]
    out.print(f"stopped; answered {' and '.join(counts) or 'nothing'}")


def print_studio(link: PageLink) -> None:
    """Print the link to the page."""
    out.print(f"Open {link.url}")
    note(f"The studio works on {link.folder} and is reached from this machine only; Ctrl-C stops it")
