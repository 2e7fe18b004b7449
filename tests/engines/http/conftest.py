"""Waits that are short enough for tests."""

from __future__ import annotations

import pytest

from engines.http import transport


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_BACK_OFF_S", 0.001)
    monkeypatch.setattr(transport, "_FIRST_CONTACT_S", 0.01)
