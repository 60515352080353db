"""Workers meet before TensorFlow connects them, or all of them say why they do not."""

import contextlib
import socket
import threading

import pytest

from tests.training._meetings import (
    FACTS,
    GRPC_GREETING,
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
from tf_sigma_vae.training import _chief, rendezvous
from tf_sigma_vae.training.rendezvous import ClusterError, meet

SHORT = 0.4  # Seconds of a meeting that is to fail; the workers need some milliseconds.


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_all_meet_in_whatever_order_they_start(order):
    addresses = free_addresses(3)
    futures = []
    for index in order:
        assert not any(future.done() for future in futures)
        futures.append(start(addresses, index))
        if index == 0:
            connected(addresses[0]).close()
    assert outcomes(futures) == [None] * 3


def test_the_ports_are_free_for_tensorflow_at_once():
    addresses = free_addresses(2)
    worker = start(addresses, 1)
    meet(addresses, 0, FACTS, 10.0)
    assert outcomes([worker]) == [None]
    for address in addresses:
        socket.create_server(("", place(address)[1])).close()


def test_one_worker_waits_for_nobody_and_needs_no_port():
    addresses = free_addresses(1)
    with socket.create_server(place(addresses[0])):
        assert meet(addresses, 0, FACTS, SHORT) is None


@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_a_missing_worker_is_named_in_every_worker_that_is_there(seconds):
    addresses = free_addresses(4)
    chief = start(addresses, 0, seconds=SHORT)
    connected(addresses[0]).close()
    # Who found the chief waits as long as it does.
    worker = start(addresses, 2, seconds=seconds)
    missing = f"worker 1 ({addresses[1]}), worker 3 ({addresses[3]})"
    reason = f"the chief at {addresses[0]} gave up after 0.4 s without {missing}"
    assert outcomes([chief, worker]) == [reason] * 2


def test_a_worker_that_is_left_by_the_chief_says_for_whom_it_waited():
    addresses = free_addresses(3)
    missing = [f"worker 2 ({addresses[2]})"]
    server = socket.create_server(place(addresses[0]))
    worker = start(addresses, 1, seconds=SHORT)
    with server, server.accept()[0] as connection:
        connection.sendall(frame({"kind": "wait", "missing": missing}))
        threading.Event().wait(SHORT)
    assert outcomes([worker]) == [
        f"worker 1 gave up after 0.4 s: the chief at {addresses[0]} still waits for {missing[0]}"
    ]


def test_a_chief_that_never_comes_up_is_named():
    addresses = free_addresses(2)
    message = (
        rf"^worker 1 gave up after 0.4 s: the chief at {addresses[0]} does not answer \(.*refus"
    )
    with pytest.raises(ClusterError, match=message):
        meet(addresses, 1, FACTS, SHORT)


def test_every_worker_hears_which_facts_differ():
    addresses = free_addresses(3)
    other = {"config": {**FACTS["config"], "learning_rate": 0.2}, "version": "2", "new": None}
    futures = [start(addresses, i, facts) for i, facts in enumerate((FACTS, FACTS, other))]
    first, *rest = outcomes(futures)
    assert rest == [first] * 2
    assert first == (
        "the workers were not started alike: config.learning_rate is 0.1 in worker 0 (the chief) "
        'and 0.2 in worker 2; version is "1" in worker 0 (the chief) and "2" in worker 2; '
        "new is absent in worker 0 (the chief) and null in worker 2"
    )


def test_of_many_facts_that_differ_the_first_are_named():
    addresses = free_addresses(2)
    futures = [start(addresses, i, {f"f{n}": i for n in range(5)}) for i in range(2)]
    for message in outcomes(futures):
        assert "f2 is 0 in" in message
        assert "f3" not in message
        assert message.endswith("; and 2 more")


def test_facts_are_compared_by_what_json_says_of_them():
    addresses = free_addresses(2)
    ours = {"a": (1, 2), "b": {"x": 1, "y": float("nan")}}
    theirs = {"b": {"y": float("nan"), "x": 1}, "a": [1, 2]}
    assert outcomes([start(addresses, 0, ours), start(addresses, 1, theirs)]) == [None] * 2


def test_workers_that_see_other_addresses_are_not_alike():
    addresses = free_addresses(3)
    swapped = [addresses[0], addresses[2], addresses[1]]
    futures = [start(addresses, 0), start(addresses, 1), start(swapped, 2)]
    for message in outcomes(futures):
        assert f'addresses.1 is "{addresses[1]}" in worker 0 (the chief)' in message
        assert f'and "{addresses[2]}" in worker 2' in message


def test_another_number_of_workers_is_an_error_at_once():
    addresses = free_addresses(3)
    futures = [start(addresses[:2], 0, seconds=60), start(addresses, 2, seconds=60)]
    for message in outcomes(futures):
        assert message.startswith("worker 2 (127.0.0.1:")
        assert "for a cluster of 3 workers, the chief for one of 2" in message


def test_two_processes_of_one_index_are_an_error_at_once():
    addresses = free_addresses(3)
    futures = [start(addresses, index, seconds=60) for index in (0, 1, 1)]
    first, *rest = outcomes(futures)
    assert first.startswith("two processes were started as worker 1: one at 127.0.0.1:")
    assert rest == [first] * 2


def test_a_second_chief_elsewhere_is_an_error_at_once():
    addresses = free_addresses(2)
    chief = start(addresses, 0, seconds=60)
    with connected(addresses[0]) as sock:
        sock.sendall(frame(hello(addresses, 0)))
        reason = said(sock)["reason"]
    assert reason.startswith("two processes were started as worker 0: one at 127.0.0.1:")
    assert reason.endswith(f"and the chief at {addresses[0]}")
    assert outcomes([chief]) == [reason]


@pytest.mark.parametrize(
    "probe",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SVAE\x01\xff\xff\xff\xff",
        frame(b"\xff"),
        frame(b"[" * 100_000),
        frame(b"[1]"),
        frame({"index": "1", "addresses": [], "facts": {}, "id": ""}),
        frame({"index": -1, "addresses": [], "facts": {}, "id": ""}),
    ],
    ids=["http", "http2", "long", "garbage", "deep", "list", "text", "negative"],
)
def test_strangers_are_sent_away(probe):
    addresses = free_addresses(2)
    chief = start(addresses, 0)
    with connected(addresses[0]) as stranger:
        stranger.sendall(probe)
        with contextlib.suppress(ConnectionResetError):  # Sent away before all was read.
            assert stranger.recv(100) == b""
        assert not chief.done()
        worker = start(addresses, 1)
        assert outcomes([chief, worker]) == [None] * 2


def test_who_says_nothing_holds_nobody_up_and_is_sent_away(monkeypatch):
    monkeypatch.setattr(_chief, "HELLO_SECONDS", 0.1)
    monkeypatch.setattr(_chief, "HEARTBEAT_SECONDS", 0.1)
    addresses = free_addresses(2)
    chief = start(addresses, 0)
    with connected(addresses[0]) as silent:
        assert silent.recv(100) == b""
    with connected(addresses[0]), connected(addresses[0]):
        assert outcomes([chief, start(addresses, 1)]) == [None] * 2


def test_a_hello_may_come_byte_by_byte():
    addresses = free_addresses(2)
    chief = start(addresses, 0)
    with connected(addresses[0]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(hello(addresses, 1)):
            sock.sendall(bytes([byte]))
        assert [said(sock)["kind"] for _ in range(2)] == ["wait", "go"]
        assert said(sock) is None
    assert outcomes([chief]) == [None]


def test_a_worker_that_died_while_it_waited_may_come_again():
    addresses = free_addresses(3)
    chief = start(addresses, 0)
    with connected(addresses[0]) as dead:
        dead.sendall(frame(hello(addresses, 1, identity="before")))
        assert said(dead) == {"kind": "wait", "missing": [f"worker 2 ({addresses[2]})"]}
    with connected(addresses[0]) as again:
        again.sendall(frame(hello(addresses, 1, identity="after")))
        assert said(again) == {"kind": "wait", "missing": [f"worker 2 ({addresses[2]})"]}
        assert outcomes([chief, start(addresses, 2)]) == [None] * 2
        assert verdict(again) == {"kind": "go"}


def test_the_same_process_may_connect_again_before_its_connection_is_seen_to_break():
    addresses = free_addresses(3)
    chief = start(addresses, 0)
    with connected(addresses[0]) as first, connected(addresses[0]) as second:
        for sock in (first, second):
            sock.sendall(frame(hello(addresses, 1)))
            assert said(sock)["kind"] == "wait"
        assert said(first) is None
        assert outcomes([chief, start(addresses, 2)]) == [None] * 2
        assert verdict(second) == {"kind": "go"}


def test_the_death_of_a_worker_before_the_last_one_comes_is_noticed():
    addresses = free_addresses(3)
    chief = start(addresses, 0, seconds=SHORT)
    with connected(addresses[0]) as dead:
        dead.sendall(frame(hello(addresses, 1)))
        said(dead)
    worker = start(addresses, 2)
    reason = f"without worker 1 ({addresses[1]}; came and left again)"
    assert all(text.endswith(reason) for text in outcomes([chief, worker]))


def test_a_worker_outlives_the_chief_and_meets_the_next_one():
    addresses = free_addresses(2)
    with socket.create_server(place(addresses[0])) as server:
        worker = start(addresses, 1)
        first, _ = server.accept()
        first.sendall(frame({"kind": "wait", "missing": []}))
        first.close()
    assert outcomes([start(addresses, 0), worker]) == [None] * 2


def greet_like_tensorflow(connection):
    connection.sendall(GRPC_GREETING)


def close(connection):
    connection.close()


@pytest.mark.parametrize("answer", [greet_like_tensorflow, close, lambda connection: None])
def test_a_restarted_worker_says_that_the_cluster_runs_without_it(answer):
    addresses = free_addresses(2)
    with (
        served(addresses[0], answer),
        pytest.raises(ClusterError, match="running without this worker: stop all workers and sta"),
    ):
        meet(addresses, 1, FACTS, SHORT)


def test_a_restarted_worker_meets_the_others_once_they_are_restarted_too():
    addresses = free_addresses(2)
    with served(addresses[0], greet_like_tensorflow) as connections:
        worker = start(addresses, 1)
        while not connections:
            assert not worker.done()
    assert outcomes([start(addresses, 0), worker]) == [None] * 2


def test_silence_of_a_chief_that_answered_before_ends_the_connection(monkeypatch):
    monkeypatch.setattr(rendezvous, "_SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(rendezvous, "_POLL_SECONDS", 0.02)
    addresses = free_addresses(2)
    twice = threading.Event()
    with served(addresses[0], lambda c: c.sendall(frame({"kind": "wait", "missing": []}))) as kept:
        worker = start(addresses, 1)
        while len(kept) < 2:
            assert not worker.done()
            twice.wait(0.01)
    assert outcomes([start(addresses, 0), worker]) == [None] * 2
