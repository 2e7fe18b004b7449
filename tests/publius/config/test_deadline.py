"""What may be begun before the allowed time ends."""

from publius.config.deadline import Deadline


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_time_counts_from_the_start_of_the_command():
    clock = Clock(130.0)
    deadline = Deadline(allowed_s=100, reserve_s=30, started_s=100.0, clock=clock)
    assert (deadline.left_s, deadline.spare_s) == (70, 40)
    clock.now = 205.0
    assert deadline.left_s == -5


def test_a_round_is_allowed_if_it_ends_before_the_reserve():
    clock = Clock(50.0)
    deadline = Deadline(allowed_s=100, reserve_s=20, round_s=30, started_s=0.0, clock=clock)
    assert deadline.allows_round()
    assert not deadline.allows_round(last_s=31)
    clock.now = 51.0
    assert not deadline.allows_round()


def test_shortfall_names_the_step_and_the_setting():
    deadline = Deadline(100, 20, 30, 0.0, Clock(75.0))
    message = deadline.shortfall("round 2 of DPO")
    assert message.startswith("round 2 of DPO is skipped: 25 of 100 s are left")
    assert "time.minutes" in message
