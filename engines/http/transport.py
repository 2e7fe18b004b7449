"""Send requests to one server until each has a usable answer, at the rate that the server can take.

A request is tried again after what may pass: refusals for overload, server errors, lost connections, time
limits, and responses that cannot be used. Between two tries it waits as long as the server asks, else a
random time up to a bound that doubles (full jitter). Two limits end this: a request that fails on its own is
given up after `max_tries`, and a server that answers nobody ends the run (`outage_s`, `unreachable_s`). While
the circuit is open, a request that was answered before is sent again to find out which of the two it is: the
last requests of a run fail alone in both cases.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import JsonValue

from core.errors import EngineError, FailedRequestError, RequestError
from core.lazy import require
from core.notices import warn
from engines.endpoint.credentials import Credentials
from engines.endpoint.settings import Prices, Timeouts
from engines.endpoint.spending import Spending, Traffic, price_of
from engines.http.bodies import answer_in, encoded, object_in
from engines.http.breaker import CircuitBreaker
from engines.http.connection import EXTRA, address, connection_fault, exchange, open_client
from engines.http.faults import Cause, RefusedError, TryFailedError, counted_tokens, mapping_in
from engines.http.lane import Lane
from engines.http.pace import Pace, Patience

_FIRST_BACK_OFF_S = 0.25
_LONGEST_BACK_OFF_S: dict[Cause, float] = {"fault": 8.0, "overload": 10.0, "unreachable": 5.0}
_FIRST_CONTACT_S = 1.0
"""Longest back-off before the server has answered once: a user waits for the run to begin."""
_NOT_THERE_S = 0.1
"""Longest back-off while nothing has ever listened at the address: three such tries end the command."""
_FIRST_ANSWER_S = 30.0
"""Seconds for the first usable answer of a server that responds with server errors: it may be starting."""
_OTHERS_FIRST_S = 0.05
"""Seconds by which a request that failed lets others look first whether the server is back."""
_OVERLOADS_PER_TRY = 8
"""Refusals for overload that count as one try of `max_tries`: they say nothing about the request."""
_DRAIN_S = 10.0
"""Longest wait for the requests in flight before an error ends the run."""
_LIST_S = 10.0
"""Longest time for what a server only looks up, such as its models."""
_SAVED = "a server that answers at engine.url; completed work is saved, and the same command resumes"
_TIMED_OUT = "timed out"
_LOST = "lost request"
_CHECKED = "answered request sent again"
_TOO_LARGE = 413
"""A refusal that is about the request, whoever in front of the server writes it."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Endpoint:
    """A server, and how it is asked."""

    url: str
    """Address below which its routes are (`engines.endpoint.settings.base_url`)."""
    credentials: Credentials = field(default_factory=Credentials)
    concurrency: int = 64
    """Most requests in flight at once."""
    max_tries: int = 16
    """Tries after which a request is given up."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    outage_s: float = 600.0
    """Seconds without a usable answer to any request after which the server counts as broken."""
    unreachable_s: float = 30.0
    """Seconds without a connection after which it counts as gone."""
    prices: Prices | None = None


class HttpTransport:
    """Requests to one server, from any number of tasks, one event loop after the other.

    Args:
        endpoint: the server.
        spending: the budgets that apply to it; what the server reports as used is counted under each.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spending: Sequence[Spending] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.spending = list(spending)
        """Budgets that apply."""
        self.traffic = Traffic()
        """Counts since they were last taken."""
        self.steps = 0
        """A number that changes with every response and every failed try."""
        self.reached = False
        """True once the server has given a usable answer."""
        self._unproven_s: float | None = 0.0
        """Seconds that the server may fail before it has shown that it works; None once it has."""
        self._pace = Pace(endpoint.concurrency)
        self._breaker = CircuitBreaker(endpoint.url, clock)
        self._patience = Patience(endpoint.timeouts.total, adapts=endpoint.timeouts.adaptive)
        self._clock = clock
        self._random = random.Random()
        self._told_of_usage = False
        self._answered: Callable[[Lane, int], Awaitable[Any]] | None = None
        """Sends the first request again that was answered."""
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}

    @property
    def is_retrying(self) -> bool:
        """True if the server works, and tries were sent again since the counts were last taken."""
        return self._unproven_s is None and self.traffic.retries.total() > 0

    async def post(
        self, path: str, body: Mapping[str, JsonValue], *, purpose: str
    ) -> Mapping[str, JsonValue]:
        """Send a request and return the JSON object of its response.

        Args:
            path: route below the server's address, such as `chat/completions`.
            body: JSON object to send.
            purpose: purpose of the request (`draft`, `label`, ...).

        Raises:
            EngineError: if the server cannot be used: it is gone, refuses the key, or a budget is spent.
            FailedRequestError: if the server refused this request, or gave no usable response to it.
            RequestError: if this request cannot be sent.
        """
        try:
            return await self.ask(path, body, dict, purpose=purpose)
        except RefusedError as error:
            raise self.refusal(error) from None

    async def ask(
        self,
        path: str,
        body: Mapping[str, JsonValue],
        read: Callable[[dict[str, Any]], _Read],
        *,
        purpose: str,
    ) -> _Read:
        """Send a request, and return what `read` makes of the response.

        Args:
            path: route below the server's address.
            body: JSON object to send.
            read: returns the answer in a response. It raises TryFailedError if there is none in it, and the
                request is sent again.
            purpose: purpose of the request.

        Raises:
            RefusedError: if the server refuses this request for good; the caller may change it.
            EngineError: as `post`.
            FailedRequestError: if no response was usable.
            RequestError: if this request cannot be sent.
        """
        content = encoded(body)

        def send(lane: Lane, lost: int) -> Awaitable[_Read]:
            return self._try(lane, path, content, read, purpose, lost)

        answer = await self._until_answered(send)
        self._answered = self._answered or send
        return answer

    async def get(self, path: str, read: Callable[[dict[str, Any]], _Read]) -> _Read:
        """Return what `read` makes of the response to a GET request. Raises as `ask` does."""
        return await self._until_answered(lambda lane, lost: self._try(lane, path, None, read, path, lost))

    def refusal(self, error: RefusedError) -> EngineError | FailedRequestError:
        """Return the error of a request that the server refused for good, and that no change will help."""
        status, text = error.status, error.message.text
        variable = self.endpoint.credentials.variable
        key = f"in {variable}" if variable else "in the variable that engine.api_key_env names"
        accepted = {
            401: f"a key that the server accepts, {key}",
            402: "an account with credit; completed work is saved, and the same command resumes",
            403: f"a key that may use this model, {key}",
            404: "engine.url of a server that has this route, and a model that it serves",
        }.get(status)
        if accepted is None:
            return FailedRequestError(f"the server refused the request ({status})", detail=text)
        return EngineError(
            f"the server refused the request ({status}: {text})", where=self.endpoint.url, accepted=accepted
        )

    def summary(self) -> str:
        """Return the retries, and that the circuit is open, for the progress line; empty if all is well."""
        parts = [self.traffic.summary(), "circuit open" if self._breaker.is_open else ""]
        return ", ".join(part for part in parts if part)

    def take_traffic(self) -> Traffic:
        """Return the counts and reset them."""
        taken, self.traffic = self.traffic, Traffic()
        return taken

    async def _until_answered(self, send: Callable[[Lane, int], Awaitable[_Read]]) -> _Read:
        """Try a request until it has an answer; `send` gets the number of its tries that were lost."""
        lane = self._lane()
        failures, lost, counted = 0, 0, 0.0
        while True:
            try:
                return await self._one_try(lane, send, lost)
            except TryFailedError as error:
                failures += 1
                lost += error.reason == _LOST
                counted += 1 / _OVERLOADS_PER_TRY if error.cause == "overload" else 1
                await self._require_working(lane, error)
                if counted >= self.endpoint.max_tries and await self._fails_on_all(lane):
                    counted = 0.0  # the tries of an outage say nothing about the request
                if counted >= self.endpoint.max_tries:
                    self.traffic.failures[error.reason] += 1
                    tries = "1 try" if failures == 1 else f"{failures:,} tries"
                    raise FailedRequestError(
                        "the server gave no usable answer",
                        detail=f"{tries}; the last one: {error}",
                    ) from None
                self.traffic.retries[error.reason] += 1
                wait_s = self._wait_s(error, failures)
            await asyncio.sleep(wait_s)

    async def _one_try(self, lane: Lane, send: Callable[[Lane, int], Awaitable[_Read]], lost: int) -> _Read:
        """Send a request once when there is a place for it, and note the outcome."""
        await self._require_budget(lane)
        window, probe = await lane.enter()
        try:
            if any(spending.exceeded() for spending in self.spending):  # while this request waited
                raise _BudgetSpent
            answer = await send(lane, lost)
        except TryFailedError as error:
            if error.cause == "overload":
                self._unproven_s = None
            if error.cause == "overload" or error.reason == _TIMED_OUT:
                self._pace.overloaded(window)
            opened = self._breaker.opened
            # If the server has never responded, the error that ends the command says all.
            self._breaker.failed(error, probe=probe, quiet=self._unproven_s == 0.0)
            self.traffic.circuit_opened += self._breaker.opened - opened
            raise
        except RefusedError:
            self._works()
            raise
        except RequestError:  # there is a response, from which a content filter removed the answer
            self._works()
            self._pace.answered()
            raise
        except _BudgetSpent:
            self._breaker.abandoned(probe=probe)
        except BaseException:
            self._breaker.abandoned(probe=probe)
            raise
        else:
            self._works()
            self._pace.answered()
            self.reached = True
            return answer
        finally:
            self.steps += 1
            lane.leave()
        await self._require_budget(lane)
        raise AssertionError("a spent budget raises")

    def _works(self) -> None:
        """Note a response that shows that the server works, whatever became of the request."""
        self._breaker.answered()
        self._unproven_s = None

    async def _try(
        self,
        lane: Lane,
        path: str,
        content: bytes | None,
        read: Callable[[dict[str, Any]], _Read],
        purpose: str,
        lost: int,
    ) -> _Read:
        """Send a request and read the answer in its response."""
        httpx2 = require("httpx2", EXTRA)
        url, client = address(self.endpoint.url, path), await lane.client()
        self.traffic.tries += 1
        limit_s, started = self._patience.limit_s(purpose, lost), self._clock()
        if content is None:
            limit_s = min(limit_s, _LIST_S)
        limit = asyncio.timeout(limit_s)
        lane.limits[limit] = (purpose, lost)
        try:
            async with limit:
                response, body = await exchange(client, url, content, self.endpoint.credentials.headers)
        except TimeoutError:
            waited_s = min(limit_s, self._clock() - started)
            raise self._timed_out(waited_s, adapted=content is not None) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            raise connection_fault(
                error, self.endpoint.url, self.endpoint.timeouts, self.endpoint.credentials
            ) from None
        finally:
            del lane.limits[limit]
        if response.status_code >= 400 and self._unproven_s is not None:
            self._unproven_s = _FIRST_ANSWER_S
        value = self._object_in(response, body)
        self._count_tokens(value)
        answer = answer_in(value, read)
        if self._patience.answered(purpose, self._clock() - started):
            lane.shorten(purpose, self._patience)
        return answer

    def _object_in(self, response: Any, body: bytes) -> dict[str, Any]:
        """Return the JSON object of a response, as `bodies.object_in` does."""
        try:
            return object_in(response, body, self.endpoint.credentials)
        except RefusedError as error:
            from_proxy = error.message.is_page and error.status != _TOO_LARGE
            if self.reached and from_proxy:
                raise TryFailedError(f"{error.status} with a web page", error.message.text) from None
            raise

    def _timed_out(self, limit_s: float, *, adapted: bool) -> TryFailedError:
        """Return the fault of a try that took too long: by a fixed limit, or beside all others."""
        if adapted and limit_s < 0.99 * self.endpoint.timeouts.total:
            return TryFailedError(_LOST, f"no answer in {limit_s:.0f} s, far longer than any before")
        return TryFailedError(_TIMED_OUT, f"no answer in {limit_s:g} s")

    def _count_tokens(self, value: Mapping[str, Any]) -> None:
        """Count what the server says that a request used, whether or not its answer can be used."""
        usage = mapping_in(value.get("usage"))
        prompt, completion = (
            # Chat completions and decisions name them differently.
            max(counted_tokens(usage.get(f"{name}_tokens")) for name in names)
            for names in (("prompt", "input"), ("completion", "output"))
        )
        if "choices" in value and not prompt:
            self._warn_of_missing_usage()
        usd = price_of(self.endpoint.prices, prompt, completion)
        self.traffic.prompt_tokens += prompt
        self.traffic.completion_tokens += completion
        self.traffic.usd += usd
        for spending in self.spending:
            spending.add(prompt + completion, usd)

    def _warn_of_missing_usage(self) -> None:
        if not self._told_of_usage and any(spending.is_limited for spending in self.spending):
            self._told_of_usage = True
            warn(f"{self.endpoint.url}: the server does not report its usage, so no budget is kept")

    def _wait_s(self, error: TryFailedError, failures: int) -> float:
        """Return the seconds to wait before the next try of a request that failed so many times."""
        longest_s = _LONGEST_BACK_OFF_S[error.cause] if self.reached else _FIRST_CONTACT_S
        if error.cause == "unreachable" and self._unproven_s == 0.0:
            longest_s = _NOT_THERE_S
        own_s = self._random.uniform(0.0, min(longest_s, _FIRST_BACK_OFF_S * 2.0 ** min(failures - 1, 16)))
        asked_s = (error.wait_s or 0.0) * self._random.uniform(1.0, 1.1)  # not all at the same moment
        # A server that asks for no time at all (`Retry-After: 0`) is not asked again at once for ever.
        closed_s = min(self._breaker.wait_s(), longest_s) + _OTHERS_FIRST_S if self._breaker.is_open else 0.0
        return max(own_s, asked_s, closed_s)

    async def _require_budget(self, lane: Lane) -> None:
        """Raise EngineError if a budget is spent, once the answers that are paid for have come."""
        for spending in self.spending:
            if error := spending.exceeded():
                await lane.drained(None)
                raise error

    async def _require_working(self, lane: Lane, error: TryFailedError) -> None:
        """Raise EngineError if the server has been failing for too long."""
        endpoint, failing_s = self.endpoint, self._breaker.failing_s()
        # A server that has never responded: the address is wrong, or it was not started.
        most_s = math.inf if self._unproven_s is None else self._unproven_s
        gone = error.cause == "unreachable" and (
            self._breaker.unreached_s() >= min(endpoint.unreachable_s, most_s)
        )
        if not self._breaker.is_open or not (gone or failing_s >= min(endpoint.outage_s, most_s)):
            return
        if not gone and self._answered is not None and not await self._fails_on_all(lane):
            return
        since = f" for {failing_s:.0f} s" if self.reached else ""
        ended = EngineError(
            f"the server gave no usable answer{since}; the last failure: {error}",
            where=endpoint.url,
            accepted=_SAVED,
        )
        lane.end(ended)
        await lane.drained(_DRAIN_S)
        raise ended

    async def _fails_on_all(self, lane: Lane) -> bool:
        """Return True if the circuit is open, and a request that was answered before fails now too.

        It is sent at once: after the pause of the circuit, it would be one of many that wait for their turn.
        """
        if not self._breaker.is_open or self._answered is None:
            return False
        await self._require_budget(lane)
        try:
            await self._answered(lane, 0)
        except TryFailedError as error:
            self.traffic.retries[error.reason] += 1
            return True
        except (RefusedError, RequestError):  # a response all the same
            pass
        self._works()
        self.traffic.retries[_CHECKED] += 1
        return False

    def _lane(self) -> Lane:
        """Return the lane of the running event loop. A new loop is a new stage, perhaps hours later."""
        loop = asyncio.get_running_loop()
        if loop not in self._lanes or self._lanes[loop].is_over:
            lanes = self._lanes.items()
            self._lanes = {other: lane for other, lane in lanes if not (other.is_closed() or lane.is_over)}
            if not self._lanes:  # the requests of another loop, which may run beside it, need the circuit
                self._breaker.forget()
            opening = open_client(self.endpoint.concurrency, self.endpoint.timeouts)
            self._lanes[loop] = Lane(opening, self._pace, self._breaker)
        return self._lanes[loop]


class _BudgetSpent(Exception):
    """A budget was spent while a request waited for its place."""
