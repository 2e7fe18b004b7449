"""Host names that the server accepts, as protection against DNS rebinding."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Hosts:
    """The host names that the server accepts.

    In a DNS rebinding attack, another site lets its own name point here, and the browser sends that name. A
    numeric address cannot be used for this.
    """

    names: frozenset[str]
    any_address: bool
    """True if all numeric addresses are accepted; False if only loopback addresses are."""

    @classmethod
    def of(cls, host: str, also: tuple[str, ...] = ()) -> Hosts:
        """Return the accepted names for the address that the server listens on, and the names in `also`."""
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
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
