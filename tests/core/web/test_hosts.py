"""Host names: our own, those of a network, and those that another site made up."""

from __future__ import annotations

import pytest

from core.web.hosts import Hosts, is_loopback


@pytest.mark.parametrize(
    "host", ["localhost:80", "127.0.0.1:80", "[::1]:80", "LOCALHOST", "127.9.9.9", "lab:1"]
)
def test_own_names_are_accepted(host):
    assert Hosts.of("127.0.0.1", ("lab",)).accepts(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        None,
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "192.168.1.7",
        "localhost:x",
        "localhost@evil.example",
        "[::1",
        "a:b:c",
        "localhost, evil.example",
        "2130706433",
    ],
)
def test_foreign_names_are_refused(host):
    assert not Hosts.of("127.0.0.1").accepts(host)


def test_server_for_a_network_is_called_by_address_but_not_by_foreign_names():
    hosts = Hosts.of("0.0.0.0")
    assert hosts.accepts("192.168.1.7:8321")
    assert not hosts.accepts("evil.example:8321")


def test_loopback_is_told_from_a_network():
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.1.2.3")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "host.example")))
