"""The parent's side of a host process, the child process that runs vLLM: start it, send requests, end it.

Requests from all threads share one connection and are answered as they finish. The host is the leader of a
session, so all processes that it starts are in its process group and can be ended together: by an orderly
shutdown in `close`, by SIGKILL if that takes too long or the host dies, and by the host's own watchdog
(`engines/vllm/serving.py`) if this process dies.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from core.errors import EngineError, FailedRequestError, PubliusError, RequestError, first_line
from engines.vllm.processes import kill_group, wait_until_gone
from engines.vllm.wire import (
    Adapter,
    AdapterAttached,
    Ask,
    AttachAdapter,
    Cancel,
    Close,
    Down,
    Load,
    Progress,
    Ready,
    Refused,
    Response,
    from_host,
)

_CLOSE_S = 20.0
"""Seconds that an orderly shutdown may take before the host is killed."""
_GONE_S = 10.0
"""Seconds to wait for killed processes to disappear."""

_CAUSE = re.compile(r"\b(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): \S.*")
_NO_CAUSE = ("root cause above", "See stack trace (above)")
_MAX_CAUSE = 500


class HostLink:
    """A host process and its pending requests.

    Args:
        command: the command that starts the host; the socket's descriptor and this process's id are appended.
        load: the first message, which loads the model.
        name: the model's name, for error messages.
        environment: environment variables of the host, in addition to this process's own.
    """

    def __init__(
        self, command: Sequence[str], load: Load, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._end: PubliusError | None = None
        self.max_tokens: Future[int] = Future()
        """Maximum number of tokens in a prompt and its answer; done when the model is loaded."""
        # A running future cannot be cancelled: a caller that gives up must not take it away from the others.
        self.max_tokens.set_running_or_notify_cancel()
        self._failed = False
        self.progress = 0
        """Number of tokens drawn, as the host last reported it; it changes while the model draws tokens."""
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # The host's TMPDIR: temporary files that vLLM leaves behind are removed with it.
        self._folder = Path(tempfile.mkdtemp(prefix="publius-"))
        self.log = self._folder / "host.log"
        self._connection, theirs = socket.socketpair()
        with theirs, self.log.open("wb") as log:
            # The log is a file and not a pipe: a full pipe that nobody reads would block the host.
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self._folder), **(environment or {})},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._outbox.put(load.to_line())
        self._reader = threading.Thread(target=self._read, name=f"host {name}", daemon=True)
        self._reader.start()
        # A thread of its own for writing: `sendall` may block on a full socket, and callers must not wait.
        threading.Thread(target=self._write, name=f"to host {name}", daemon=True).start()

    @property
    def group(self) -> int:
        """Process group of the host and all processes that it starts."""
        return self._process.pid

    def ask(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Mapping[str, JsonValue],
        choice_ids: tuple[int, ...] = (),
        *,
        wants_logprobs: bool = False,
        adapter: Adapter | None = None,
        affinity: str | None = None,
    ) -> Future[Response]:
        """Send a request; return its future. Cancelling the future makes the host drop the request.

        The affinity has no meaning for one host (`engines/vllm/replicas.py`).
        """
        ask = Ask(
            id=next(self._numbers),
            prompt_ids=prompt_ids,
            sampling=dict(sampling),
            choice_ids=choice_ids,
            wants_logprobs=wants_logprobs,
            adapter=adapter,
        )
        return self._post(ask)

    def attach(self, adapter: Adapter) -> Future[AdapterAttached]:
        """Load an adapter for later requests without one; return a future that is done when it is loaded."""
        return self._post(AttachAdapter(id=next(self._numbers), adapter=adapter))

    def close(self) -> None:
        """Fail all pending requests, end the host and all its processes. Safe to call twice."""
        self._settle(EngineError("the engine was closed before it answered", where=self._name))
        self._outbox.put(Close().to_line())
        self._reader.join(_CLOSE_S)
        if self._reader.is_alive():
            kill_group(self.group)
            self._reader.join()
        if not self._failed:  # after a failure, the error message refers to the log
            shutil.rmtree(self._folder, ignore_errors=True)

    def _post(self, message: Ask | AttachAdapter) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._end is not None:
                future.set_exception(self._end)
                return future
            self._waiting[message.id] = future
        future.add_done_callback(lambda done: self._forget(message.id) if done.cancelled() else None)
        self._outbox.put(message.to_line())
        return future

    def _forget(self, number: int) -> None:
        with self._lock:
            wanted = self._waiting.pop(number, None) is not None
        if wanted:
            self._outbox.put(Cancel(id=number).to_line())

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # the reader thread sees the broken connection too and reports it
            while (line := self._outbox.get()) is not None:
                self._connection.sendall(line)

    def _read(self) -> None:
        """Resolve requests until the host is gone, then kill the rest of its process group."""
        loaded = False
        reason: str | None = None
        with contextlib.suppress(OSError), self._connection.makefile("rb") as lines:
            for line in lines:
                try:
                    message = from_host.validate_json(line)
                except ValueError as error:  # not ours: nothing that follows can be trusted
                    reason = f"a message that cannot be read: {first_line(error)}"
                    break
                match message:
                    case Ready() as ready:
                        loaded = True
                        self._settle_length(ready.max_tokens)
                    case Down() as down:
                        reason = down.reason
                        break
                    case Response() | AdapterAttached() as reply:
                        self._resolve(reply.id, reply)
                    case Refused() as refused:
                        kind = FailedRequestError if refused.may_pass else RequestError
                        self._resolve(refused.id, kind(refused.reason, detail=refused.detail))
                    case Progress() as sign:
                        self.progress = sign.tokens
        # Kill before `wait`: only until then is it certain that no other process has the host's id.
        kill_group(self.group)
        wait_until_gone(self.group, _GONE_S)
        code = self._process.wait()
        self._failed = self._end is None
        self._settle(self._exit_error(code, reason, loaded))
        self._outbox.put(None)
        self._connection.close()

    def _resolve(self, number: int, result: Response | AdapterAttached | PubliusError) -> None:
        with self._lock:
            future = self._waiting.pop(number, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if isinstance(result, PubliusError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _settle_length(self, result: int | PubliusError) -> None:
        """Set the maximum length, or the reason why it will never be known, unless it is set already."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(result, PubliusError):
                self.max_tokens.set_exception(result)
            else:
                self.max_tokens.set_result(result)

    def _settle(self, end: PubliusError) -> None:
        """Fail all pending and later requests with this error; the first error given is kept."""
        with self._lock:
            self._end = self._end or end
            waiting = list(self._waiting)
        self._settle_length(self._end)
        for number in waiting:
            self._resolve(number, self._end)

    def _exit_error(self, code: int, reason: str | None, loaded: bool) -> EngineError:
        what = "the model's process ended" if loaded else "the model cannot be loaded"
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        # vLLM's engine process fails with "see root cause above": the cause itself is only in the log.
        if reason is None or any(phrase in reason for phrase in _NO_CAUSE):
            reason = last_cause(self.log.read_text(errors="replace")) or reason or how
        return EngineError(f"{what} ({reason[:_MAX_CAUSE]}); its log is {self.log}", where=self._name)


def last_cause(log: str) -> str | None:
    """Return the last line of a log that names an error and does not only refer to another one."""
    for line in reversed(log.splitlines()):
        found = _CAUSE.search(line)
        if found and not any(phrase in line for phrase in _NO_CAUSE):
            return found[0]
    return None
