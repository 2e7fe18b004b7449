"""Notices: warnings that several runs have in common are logged once."""

from __future__ import annotations

import logging

import pytest

from core.notices import LOGGER, PROGRESS, each_once, note, warn


def test_a_warning_is_logged_once_and_the_rest_are_counted(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "publius")
    with each_once() as begin:
        for number in range(3):
            begin()
            warn(f"run {number} waits")
            warn(f"run {number} waits")
            note("the same note")
            LOGGER.info("critique  0/12", extra={PROGRESS: True})
            warn("self-labelled")
            warn(f"run {number} is odd")
    warn("self-labelled")
    texts = [record.getMessage().strip() for record in caplog.records]
    assert sum(text.endswith("waits") for text in texts) == 6  # within a run, lines may repeat
    assert texts.count("the same note") == 1
    assert texts.count("critique  0/12") == 3
    assert texts.count("self-labelled") == 2  # the last one is outside
    assert sum(text.endswith("is odd") for text in texts) == 3
    assert "2 warnings of later runs, the same as those above, not repeated" in texts
