"""How many requests are at a server at once, and when none is sent at all."""

from __future__ import annotations

import pytest

from engines.http.breaker import CircuitBreaker
from engines.http.faults import TryFailedError
from engines.http.pace import Pace, Patience

REFUSED = TryFailedError("429 Too Many Requests", cause="overload")
FAILED = TryFailedError("500 Internal Server Error")
GONE = TryFailedError("no connection", cause="unreachable")


def test_the_limit_is_halved_once_for_all_requests_of_a_window():
    pace = Pace(64, start=64)
    sent = [pace.window for _ in range(64)]
    for window in sent:
        pace.overloaded(window)
    assert pace.limit == 32
    pace.overloaded(pace.window)
    assert pace.limit == 16


def test_the_limit_rises_step_by_step_and_never_beyond_the_maximum():
    pace = Pace(16, start=4)
    for expected in range(5, 17):
        pace.answered()
        assert pace.limit == expected
    pace.answered()
    assert pace.limit == 16
    pace.overloaded(pace.window)
    for _ in range(4):
        pace.answered()
    assert pace.limit == 9  # a quarter an answer, once it was too many


def test_one_request_is_always_allowed():
    pace = Pace(2)
    for _ in range(5):
        pace.overloaded(pace.window)
    assert pace.limit == 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock, error: TryFailedError = REFUSED) -> CircuitBreaker:
    breaker = CircuitBreaker("http://host", clock)
    while not breaker.is_open:
        breaker.failed(error, probe=False)
    return breaker


def test_nine_refusals_of_ten_open_the_circuit_even_if_the_tenth_is_answered(clock: Clock):
    breaker = CircuitBreaker("http://host", clock)
    for _ in range(8):
        breaker.failed(FAILED, probe=False)
    breaker.answered()
    breaker.answered()
    for _ in range(8):
        breaker.failed(REFUSED, probe=False)
    assert not breaker.is_open  # eight of ten
    breaker.failed(REFUSED, probe=False)
    assert breaker.is_open
    assert breaker.opened == 1


def test_three_tries_without_a_connection_open_it(clock: Clock):
    breaker = CircuitBreaker("http://host", clock)
    for _ in range(2):
        breaker.failed(GONE, probe=False)
    assert not breaker.is_open
    breaker.failed(GONE, probe=False)
    assert breaker.is_open


def test_an_open_circuit_sends_one_request_when_it_is_due_and_waits_longer_after_each_failure(clock: Clock):
    breaker = opened(clock, FAILED)
    waits = []
    for _ in range(8):
        assert not breaker.admits()
        waits.append(breaker.wait_s())
        clock.now += breaker.wait_s()
        assert breaker.admits()
        assert breaker.sent()
        assert not breaker.admits()  # one at a time
        breaker.failed(FAILED, probe=True)
    assert waits == [0.5, 1, 2, 4, 8, 10, 10, 10]


def test_a_request_that_was_on_its_way_does_not_end_the_wait_for_the_probe(clock: Clock):
    breaker = opened(clock)
    clock.now += 1
    assert breaker.sent()
    breaker.failed(REFUSED, probe=False)
    assert not breaker.admits()
    breaker.abandoned(probe=True)
    assert breaker.admits()


def test_the_pause_is_as_long_as_the_server_asks(clock: Clock):
    breaker = CircuitBreaker("http://host", clock)
    for _ in range(9):
        breaker.failed(TryFailedError("429", cause="overload", wait_s=30.0), probe=False)
    assert breaker.wait_s() == 30.0


def test_it_says_once_that_it_opened_and_once_that_the_server_is_well_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "publius")
    breaker = opened(clock)
    for _ in range(5):  # a storm: it closes for a moment, and opens again
        clock.now += 10
        breaker.answered()
        for _ in range(9):
            breaker.failed(REFUSED, probe=False)
    clock.now += 10
    for _ in range(8):
        breaker.answered()
    assert breaker.opened == 6
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith(
        "http://host: 9 of the last 9 tries failed, the last one with 429 Too Many Requests"
    )
    assert last == "http://host: the server answers again after 60 s; the circuit is closed"


def test_the_time_without_an_answer_counts_while_the_circuit_is_open(clock: Clock):
    breaker = opened(clock)
    clock.now += 42
    assert breaker.failing_s() == 42
    breaker.answered()
    assert breaker.failing_s() == 0.0


def test_the_time_without_a_connection_begins_with_the_first_try_that_found_none(clock: Clock):
    breaker = opened(clock)
    clock.now += 42
    breaker.failed(GONE, probe=True)
    assert (breaker.failing_s(), breaker.unreached_s()) == (42, 0.0)
    clock.now += 10
    breaker.failed(GONE, probe=True)
    assert breaker.unreached_s() == 10
    breaker.failed(REFUSED, probe=True)
    assert breaker.unreached_s() == 0.0
    breaker.failed(GONE, probe=True)
    clock.now += 3
    assert breaker.unreached_s() == 3


def test_an_answer_that_takes_ten_times_as_long_as_any_is_taken_for_lost():
    patience = Patience(900.0)
    for _ in range(19):
        patience.answered("draft", 2.0)
    assert patience.limit_s("draft") == 900.0  # too few to know
    patience.answered("draft", 3.0)
    assert patience.limit_s("draft") == 30.0
    assert patience.limit_s("label") == 900.0
    for lost, expected in ((1, 60.0), (2, 120.0), (99, 900.0)):  # its answer may be long
        patience.answered("draft", 2.0)  # others are quick meanwhile
        assert patience.limit_s("draft", lost) == expected
    patience.answered("draft", 50.0)
    assert patience.limit_s("draft") == 500.0


def test_short_answers_have_5_seconds_and_long_ones_no_more_than_the_run_file_says():
    patience, patient = Patience(900.0), Patience(900.0, adapts=False)
    for seconds in [0.001] * 20:
        patience.answered("label", seconds)
        patient.answered("label", seconds)
    assert (patience.limit_s("label"), patient.limit_s("label")) == (5.0, 900.0)
    patience.answered("label", 500.0)
    assert patience.limit_s("label") == 900.0
