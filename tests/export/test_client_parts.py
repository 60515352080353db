"""Which version answers the parts of a call, what is sent again, and when a call ends.

Over a transport that is a fake: versions come and go between two requests.
"""

import numpy as np
import pytest

from tf_sigma_vae.export import _transport
from tf_sigma_vae.export import client as client_module
from tf_sigma_vae.export._grpc import GrpcTransport
from tf_sigma_vae.export._transport import Deadline, Metadata, ServingError, Signature, TensorInfo
from tf_sigma_vae.export.client import Client

X = np.linspace(0, 1, 10).reshape(5, 2).astype(np.float32)


def _metadata(version, width=2):
    images = TensorInfo("float32", (None, width))
    output = TensorInfo("int64", (None,))
    return Metadata(version, {"encode": Signature({"images": images}, {"version": output})})


class FakeTransport:
    """Serves `available`; `after_request` is called with the number of requests so far."""

    address = "fake"

    def __init__(self, names_version):
        self.names_version, self.available = names_version, {1}
        self.asked, self.left, self.num_metadata, self.width = [], [], 0, 2
        self.after_request = lambda count: None

    def _find(self, version):
        found = max(self.available) if version is None else version
        if found not in self.available:
            raise ServingError("NOT_FOUND", f"no version {found}")
        return found

    def predict(self, name, version, signature_name, signature, inputs, deadline):
        self.asked.append(version)
        self.left.append(deadline.left())
        found = self._find(version)
        self.after_request(len(self.asked))
        rows = len(inputs["images"])
        return {"version": np.full(rows, found)}, found if self.names_version else version

    def metadata(self, name, version, deadline):
        self.num_metadata += 1
        return _metadata(self._find(version), self.width)

    def states(self, name, version, deadline):
        return {number: ("AVAILABLE", "") for number in self.available}

    def close(self):
        self.available = set()


@pytest.fixture(params=[True, False], ids=["grpc", "rest"])
def transport(request, monkeypatch):
    fake = FakeTransport(request.param)
    monkeypatch.setattr(client_module, "GrpcTransport", lambda address: fake)
    return fake


@pytest.fixture
def client(transport):
    return Client("fake", "m", max_batch_size=2)


def test_all_parts_ask_the_version_that_answered_the_first(client, transport):
    transport.after_request = lambda count: transport.available.add(2)
    assert client.predict("encode", {"images": X})["version"].tolist() == [1] * 5
    # By REST the newest one has been asked for before.
    assert transport.asked == [None if transport.names_version else 1, 1, 1]


def test_a_version_that_is_gone_between_two_parts_starts_the_call_again(client, transport):
    def switch(count):
        transport.available = {2}

    transport.after_request = switch
    assert client.predict("encode", {"images": X})["version"].tolist() == [2] * 5
    assert transport.asked[-2:] == [2, 2]
    assert len(transport.asked) == 5


def test_a_call_is_started_again_once(client, transport):
    def switch(count):
        transport.available = {count + 1}

    transport.after_request = switch
    with pytest.raises(ServingError, match="NOT_FOUND"):
        client.predict("encode", {"images": X})
    assert len(transport.asked) == 4


def test_a_pinned_version_is_not_replaced_by_another(transport):
    client = Client("fake", "m", version=1, max_batch_size=2)
    transport.available = {1, 2}

    def drop(count):
        transport.available = {2}

    transport.after_request = drop
    with pytest.raises(ServingError, match="NOT_FOUND: no version 1"):
        client.predict("encode", {"images": X})
    assert (transport.asked, transport.num_metadata) == ([1, 1], 1)


def test_other_errors_are_not_sent_again(client, transport):
    def fail(count):
        raise ServingError("INVALID_ARGUMENT", "wrong")

    transport.after_request = fail
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: wrong"):
        client.predict("encode", {"images": X})
    assert (len(transport.asked), transport.num_metadata) == (1, 1)
    # What the client takes for right may be so no longer.
    assert client.signatures
    assert transport.num_metadata == 2


def test_the_parts_share_one_deadline(client, transport, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_transport.time, "monotonic", lambda: now[0])

    def take_four_seconds(count):
        now[0] += 4.0

    transport.after_request = take_four_seconds
    client = Client("fake", "m", timeout=10.0, max_batch_size=1)
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED: no answer within 10 s"):
        client.predict("encode", {"images": X})
    assert transport.left == [10.0, 6.0, 2.0]


def test_what_is_refused_or_empty_is_not_sent(client, transport):
    with pytest.raises(ValueError, match="floats"):
        client.predict("encode", {"images": np.uint8(X)})
    with pytest.raises(ValueError, match="shape"):
        client.predict("encode", {"images": X[:, :1]})
    with pytest.raises(ValueError, match="unknown signature"):
        client.predict("decode", {"images": X})
    assert client.predict("encode", {"images": X[:0]})["version"].tolist() == []
    assert transport.asked == []


def test_signatures_are_asked_for_once(client, transport):
    for _ in range(3):
        client.predict("encode", {"images": X})
    assert client.signatures == _metadata(1).signatures
    assert transport.num_metadata == 1
    assert client.metadata() == _metadata(1)
    assert transport.num_metadata == 2


def test_a_newer_version_may_have_another_signature(client, transport):
    client.predict("encode", {"images": X})
    transport.available, transport.width = {2}, 3
    wide = np.zeros((1, 3), np.float32)
    assert client.predict("encode", {"images": wide})["version"].tolist() == [2]
    with pytest.raises(ValueError, match=r"shape \[B, 3\], got \[5, 2\]"):
        client.predict("encode", {"images": X})


def test_an_answer_of_another_version_makes_the_client_ask_what_it_takes(client, transport):
    client.predict("encode", {"images": X})
    transport.available = {1, 2}
    client.predict("encode", {"images": X})
    transport.width = 3
    assert client.signatures == _metadata(2, width=3 if transport.names_version else 2).signatures


def test_a_client_closes_its_transport(transport):
    with Client("fake", "m") as client:
        assert client.metadata().version == 1
    assert transport.available == set()


@pytest.mark.parametrize(
    "address",
    [
        *("", "localhost", "localhost:", ":8500", "localhost:0", "localhost:65536", "host:port"),
        *("::1:8500", "[::1]", "[localhost]:8500", "a b:8500", "a..b:8500", "ftp://localhost:1"),
        *("http://", "http:///path", "http://localhost:port", "http://localhost:65536"),
        *("http://[::1", "http://me@localhost:1", "http://localhost:1/?a", "http://a..b", None),
    ],
)
def test_an_impossible_address_is_refused(address):
    with pytest.raises(ValueError, match="host:port for gRPC, or http://host:port") as caught:
        Client(address, "m")
    assert str(caught.value).endswith(f"got {address!r}")


@pytest.mark.parametrize(
    "address",
    [
        *("localhost:8500", "10.0.0.1:1", "[::1]:65535", "a_b.c-d:8500", "http://localhost"),
        *("https://localhost:8501/behind/", "http://[::1]:8501", "HTTP://localhost:8501"),
    ],
)
def test_a_possible_address_is_taken(address):
    with Client(address, "m", timeout=60) as client:
        assert client.version is None


def test_a_closed_client_refuses_every_call(client, transport):
    assert client.signatures
    client.close()
    transport.available = {1}
    for call in (
        lambda: client.predict("encode", {"images": X}),
        lambda: client.predict("encode", {"images": X[:0]}),
        client.metadata,
        lambda: client.signatures,
        client.wait_until_ready,
    ):
        with pytest.raises(ServingError, match="the client is closed") as caught:
            call()
        assert caught.value.code == "CANCELLED"
    assert transport.asked == []


def test_a_client_that_another_thread_closes_sends_no_further_part(client, transport):
    transport.after_request = lambda count: client.close()
    with pytest.raises(ServingError, match="CANCELLED: the client is closed"):
        client.predict("encode", {"images": X})
    assert len(transport.asked) == 1


def test_a_channel_closed_before_a_request_is_a_closed_client():
    transport = GrpcTransport("localhost:1")
    transport.close()
    with pytest.raises(ServingError, match="CANCELLED: the client is closed"):
        transport.states("m", None, Deadline(10.0))


def test_waiting_takes_what_is_not_there_yet_for_not_ready(client, transport, monkeypatch):
    def wait(seconds):
        transport.available = {3}

    monkeypatch.setattr(client_module.time, "sleep", wait)
    transport.available = set()
    assert client.wait_until_ready(timeout=5.0) == 3


def test_waiting_ends_at_once_where_it_cannot_help(client, transport, monkeypatch):
    def refuse(*_):
        raise ServingError("PERMISSION_DENIED", "no")

    monkeypatch.setattr(transport, "states", refuse)
    with pytest.raises(ServingError, match="PERMISSION_DENIED: no"):
        client.wait_until_ready(timeout=5.0)


def test_a_version_that_is_not_available_is_not_ready(client, transport, monkeypatch):
    states = {1: ("END", "broken"), 2: ("LOADING", "")}
    monkeypatch.setattr(transport, "states", lambda *_: states)
    with pytest.raises(ServingError, match="not ready after 0.01 s.*1 END broken; 2 LOADING$"):
        client.wait_until_ready(timeout=0.01)
