"""By which names the server may be called, and whether an address is of this machine alone."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Hosts:
    """By which names the server may be called.

    Another site that lets its own name point here (DNS rebinding) sends that name. An address in numbers
    cannot be borrowed like that.
    """

    names: frozenset[str]
    any_address: bool
    """Whether all addresses in numbers are accepted, or only those of this machine itself."""

    @classmethod
    def of(cls, host: str, also: tuple[str, ...] = ()) -> Hosts:
        """Return the names that go with the address that the server listens at."""
        if is_loopback(host):
            return cls(frozenset({"localhost", host.lower(), *map(str.lower, also)}), any_address=False)
        names = {"localhost", host.lower(), socket.gethostname().lower(), *map(str.lower, also)}
        return cls(frozenset(names), any_address=True)

    def accepts(self, header: str | None) -> bool:
        """Return whether the value of a Host header names this server."""
        match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(:\d{1,5})?", (header or "").lower())
        if match is None:
            return False
        name = match[1].strip("[]")
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
