"""Output of `publius serve`: the address, the token, and what was answered."""

from __future__ import annotations

from core.notices import note
from publius.console import out
from publius.serving.served import Listening, Stopped


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
