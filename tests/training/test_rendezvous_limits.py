"""What ends or bends a meeting from outside: ports, names, releases, signals, time."""

import os
import signal
import socket
import threading

import pytest

from tests.training._meetings import (
    FACTS,
    connected,
    frame,
    free_addresses,
    hello,
    outcomes,
    place,
    said,
    served,
    start,
    verdict,
)
from tf_sigma_vae.training import _wire, rendezvous
from tf_sigma_vae.training.rendezvous import ClusterError, meet

SHORT = 0.4  # Seconds of a meeting that is to fail; the workers need some milliseconds.


class Stop(BaseException):
    """What a signal handler raises, and nobody may take for a broken connection."""


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_that_another_process_holds_is_an_error(index):
    addresses = free_addresses(2)
    port = place(addresses[index])[1]
    with (
        socket.create_server(("", port)),
        pytest.raises(ClusterError, match=f"worker {index} cannot use port {port} .*in use"),
    ):
        meet(addresses, index, FACTS, SHORT)


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_that_becomes_free_in_time_is_none(index, monkeypatch):
    monkeypatch.setattr(rendezvous, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(rendezvous, "PROGRESS_SECONDS", 0.0)
    addresses = free_addresses(2)
    told = threading.Event()
    with socket.create_server(("", place(addresses[index])[1])):
        late = start(addresses, index, progress=lambda text: told.set())
        assert told.wait(10)
    assert outcomes([late, start(addresses, 1 - index)]) == [None] * 2


def test_a_name_that_is_not_known_yet_is_asked_for_again(monkeypatch):
    asked = []
    original = socket.getaddrinfo

    def not_yet(host, *args, **kwargs):
        if host != "run-0.workers":
            return original(host, *args, **kwargs)
        asked.append(host)
        if len(asked) < 3:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", not_yet)
    addresses = [address.replace("127.0.0.1", "run-0.workers") for address in free_addresses(2)]
    assert outcomes([start(addresses, 0), start(addresses, 1)]) == [None] * 2
    assert len(asked) == 3


def test_a_name_that_is_never_known_is_in_the_error(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ClusterError, match=r"chief at run-0.w:9 does not answer \(.*not known\)"):
        meet(["run-0.w:9", free_addresses(1)[0]], 1, FACTS, SHORT)


def test_a_machine_without_ipv6_meets_by_ipv4(monkeypatch):
    original = _wire._bound

    def no_ipv6(family, *args):
        if family == socket.AF_INET6:
            raise OSError(_wire.errno.EADDRNOTAVAIL, "no IPv6")
        return original(family, *args)

    monkeypatch.setattr(_wire, "_bound", no_ipv6)
    addresses = free_addresses(2)
    assert outcomes([start(addresses, 0), start(addresses, 1)]) == [None] * 2


def test_a_worker_of_another_release_is_an_error_at_once():
    addresses = free_addresses(2)
    chief = start(addresses, 0, seconds=60)
    with connected(addresses[0]) as sock:
        sock.sendall(frame(hello(addresses, 1), version=2))
        reason = said(sock)["reason"]
    assert outcomes([chief]) == [reason]
    assert "another version of the meeting's protocol (version 2 instead of 1)" in reason


def test_a_chief_of_another_release_is_an_error_at_once():
    addresses = free_addresses(2)
    answer = frame({"kind": "wait", "missing": []}, version=2)
    with (
        served(addresses[0], lambda connection: connection.sendall(answer)),
        pytest.raises(ClusterError, match=f"chief at {addresses[0]} speaks another version"),
    ):
        meet(addresses, 1, FACTS, 60)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("chief_listens", [False, True])
def test_what_a_signal_handler_raises_ends_the_waiting(index, chief_listens):
    addresses = free_addresses(3)
    chief = start(addresses, 0) if chief_listens and index else None

    def stop(number, before):
        raise Stop

    previous = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    try:
        timer.start()
        with pytest.raises(Stop):
            meet(addresses, index, FACTS, 60)
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGTERM, previous)
    if chief:
        # It sees the worker leave, and another one may take its place.
        others = [start(addresses, 1), start(addresses, 2)]
        assert outcomes([chief, *others]) == [None] * 3
    socket.create_server(("", place(addresses[index])[1])).close()


def test_the_waiting_is_reported_by_who_is_missing(monkeypatch):
    monkeypatch.setattr(rendezvous, "PROGRESS_SECONDS", 0.1)
    monkeypatch.setattr(rendezvous, "_POLL_SECONDS", 0.02)
    addresses = free_addresses(3)
    told = {0: [], 1: []}
    chief = start(addresses, 0, seconds=2 * SHORT, progress=told[0].append)
    worker = start(addresses, 1, seconds=2 * SHORT, progress=told[1].append)
    assert None not in outcomes([chief, worker])
    missing = f"worker 2 ({addresses[2]})"
    assert told[0][-1] == f"the chief waits for {missing}"
    assert told[1][-1] == f"worker 1: the chief at {addresses[0]} still waits for {missing}"
    # 0.8 s in steps of at least 0.1 s.
    assert max(map(len, told.values())) <= 8


def test_a_death_that_is_not_read_yet_makes_no_rival_of_the_next_process(monkeypatch):
    monkeypatch.setattr(rendezvous, "PROGRESS_SECONDS", 0.0)
    addresses = free_addresses(3)
    hold, held, proceed = (threading.Event() for _ in range(3))

    def hold_the_chief(text):
        if hold.is_set():
            held.set()
            assert proceed.wait(10)

    chief = start(addresses, 0, progress=hold_the_chief)
    with connected(addresses[0]) as again:
        dead = connected(addresses[0])
        dead.sendall(frame(hello(addresses, 1, identity="before")))
        assert said(dead)["kind"] == "wait"
        hold.set()
        connected(addresses[0]).close()
        assert held.wait(10)
        # In this order, so that the chief reads the hello before the end of the other connection.
        again.sendall(frame(hello(addresses, 1, identity="after")))
        dead.close()
        proceed.set()
        assert outcomes([chief, start(addresses, 2)]) == [None] * 2
        assert verdict(again) == {"kind": "go"}


def test_what_cannot_be_compared_is_refused_before_anybody_waits():
    addresses = free_addresses(2)
    with pytest.raises(TypeError, match="not JSON serializable"):
        meet(addresses, 0, {"x": object()}, 60)
    with pytest.raises(ValueError, match="at most 1048576 are allowed"):
        meet(addresses, 1, {"x": "x" * 2**20}, 60)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_of_the_cluster_is_refused(index):
    with pytest.raises(ValueError, match=f"index must be from 0 to 1, not {index}"):
        meet(free_addresses(2), index, FACTS, 60)


@pytest.mark.parametrize(
    "address", ["h", "h:0", "h:65536", "http://h:1", "::1:80", ":1", "h:x", ""]
)
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ValueError, match="is not host:port with a port from 1 to 65535"):
        meet(["127.0.0.1:1", address], 0, FACTS, 60)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("host-0.svc:2222", ("host-0.svc", 2222)), ("[::1]:80", ("::1", 80)), ("n:1", ("n", 1))],
)
def test_addresses_split_into_host_and_port(address, expected):
    assert _wire.split_address(address) == expected
