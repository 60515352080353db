"""The client against the test double, by gRPC and by REST."""

import socket
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.export import _load, _servers
from tests.export._servers import ROUTES
from tests.export._small_models import IMAGE_SHAPE, PNG, z_mean
from tf_sigma_vae.export.client import Client, ServingError, Signature, TensorInfo

tfd = tfp.distributions

MAX_ROWS = 20_000
# Values of few bits, so that sums are exact in any order.
X = np.float32(np.random.default_rng(0).integers(0, 9, size=(20, *IMAGE_SHAPE)) / 8)


@pytest.fixture(scope="module")
def server(repository_root, tmp_path_factory, small_versions, model_name):
    base, log = small_versions[1].parent, tmp_path_factory.mktemp("double") / "log"
    with _servers.start_double(repository_root, base, model_name, log, max_rows=MAX_ROWS) as double:
        yield double


@pytest.fixture
def connect(server, route, model_name):
    """Returns `connect(**options)`, a client of the double; closed when the test ends."""
    clients = []

    def make(name=model_name, **options):
        clients.append(Client(server.addresses[route], name, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


# -- answers


def test_a_call_is_the_function_of_the_newest_version(client):
    answered = client.encode(X)
    assert set(answered) == {"z_mean", "z_scale"}
    assert answered["z_mean"].dtype == np.float32
    np.testing.assert_array_equal(answered["z_mean"], z_mean(X, 2.0))


def test_a_call_in_parts_is_one_call(connect):
    whole, parts = connect(), connect(max_batch_size=8)
    seeds = np.arange(40).reshape(20, 2)
    np.testing.assert_array_equal(parts.encode(X)["z_mean"], whole.encode(X)["z_mean"])
    np.testing.assert_array_equal(parts.elbo(X, seeds)["elbo"], whole.elbo(X, seeds)["elbo"])
    files = [PNG + bytes([row]) for row in range(20)]
    answered = parts.reconstruct_bytes(files)
    assert answered["mean_bytes"].tolist() == [file + b"\0" for file in files]
    assert answered["text"].tolist() == [b"2.0"] * 20


def test_decode_gives_a_distribution(client):
    z = np.float32([[0.25, 0.0], [0.5, 0.0]])
    p = client.decode(z)
    assert (p.batch_shape, p.event_shape) == ((2,), IMAGE_SHAPE)
    oracle = tfd.Normal(z[:, :1, None, None], 2.0).log_prob(X[:2]).numpy().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(p.log_prob(X[:2]), oracle, rtol=1e-6)


def test_lists_tensors_and_other_floats_are_taken(client):
    for x in (X[:2].astype(np.float64).tolist(), tf.constant(X[:2])):
        np.testing.assert_array_equal(client.encode(x)["z_mean"], z_mean(X[:2], 2.0))
    files = tf.constant([PNG, PNG + b"\0"])
    assert client.reconstruct_bytes(files)["mean_bytes"].tolist() == [PNG + b"\0", PNG + b"\0\0"]
    seeds = [[-(2**31), 2**31 - 1]]
    total = np.float32(-(2**31)) + X[:1].sum()
    assert client.elbo(X[:1].astype(np.float16), seeds)["elbo"] == total


def test_what_is_nearly_in_the_range_is_sent(client):
    nearly = X[:1] * np.float32(1.0005)
    np.testing.assert_array_equal(client.reconstruct(nearly)["mean"], 2.0 * nearly)


def test_messages_above_four_megabytes_pass_by_grpc(server, model_name):
    # In one request and one answer.
    x = np.ones((15_000, *IMAGE_SHAPE), np.float32)
    assert x.nbytes > 4 * 2**20
    with Client(server.addresses["grpc"], model_name, max_batch_size=MAX_ROWS) as client:
        np.testing.assert_array_equal(client.reconstruct(x)["mean"], 2.0 * x)


def test_signatures_come_from_the_server(client):
    images = TensorInfo("float32", (None, *IMAGE_SHAPE))
    assert client.signatures["reconstruct"] == Signature({"images": images}, {"mean": images})
    assert client.signatures["elbo"].inputs["seed"] == TensorInfo("int32", (None, 2))
    assert client.signatures["reconstruct_bytes"].outputs["text"].dtype == "string"
    assert client.metadata().version == 2
    assert set(client.signatures) == {
        *("serving_default", "encode", "reconstruct", "elbo", "reconstruct_bytes", "decode")
    }


def test_a_call_without_rows_is_answered_without_the_server(client):
    answered = client.reconstruct(X[:0])
    assert (answered["mean"].shape, answered["mean"].dtype) == ((0, *IMAGE_SHAPE), np.float32)
    files = client.reconstruct_bytes([])
    assert (files["mean_bytes"].shape, files["mean_bytes"].dtype) == ((0,), object)
    assert client.decode(np.zeros((0, 2), np.float32)).batch_shape == (0,)


# -- refused before it is sent


def _spoiled(row, value):
    x = X[:4].copy()
    x[row, 1, 2, 0] = value
    return x


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("nothing", {"images": X}, "unknown signature 'nothing': the model has decode, elbo"),
        ("encode", {}, "missing input 'images': signature 'encode' takes images"),
        ("elbo", {"images": X}, "missing input 'seed': signature 'elbo' takes images, seed"),
        ("encode", {"images": X, "z": X}, "unknown input 'z': signature 'encode' takes images"),
        ("encode", {"images": np.uint8(X)}, "images must be floats .*uint8: divide grey .* by 255"),
        ("encode", {"images": [[0.5], [0.5, 0.5]]}, "images must be an array: .*inhomogeneous"),
        ("encode", {"images": X > 0.5}, "images must be floats .*got bool"),
        ("encode", {"images": X[:, :3]}, r"shape \[B, 4, 6, 3\], got \[20, 3, 6, 3\]$"),
        ("encode", {"images": X[0]}, r"got \[4, 6, 3\]: one example is a batch of one"),
        ("encode", {"images": _spoiled(2, np.nan)}, r"finite, but row 2 has nan at \[1, 2, 0\]"),
        ("encode", {"images": _spoiled(3, -np.inf)}, "finite, but row 3 has -inf"),
        ("encode", {"images": _spoiled(1, 1.002)}, r"in \[0, 1\], but row 1 has 1.002"),
        ("encode", {"images": _spoiled(1, -0.25)}, r"in \[0, 1\], but row 1 has -0.25"),
        ("decode", {"z": [[0.0, 1.0], [np.nan, 0.0]]}, r"z must be finite, but row 1 .*at \[0\]"),
        ("decode", {"z": [[0, 1]]}, "z must be floats .*got int64$"),
        ("elbo", {"images": X[:1], "seed": [[0.0, 1.0]]}, "seed must be integers .*float64"),
        ("elbo", {"images": X[:1], "seed": [[True, False]]}, "seed must be integers .*bool"),
        ("elbo", {"images": X[:1], "seed": [[1, 2**31]]}, r"int32\), but row 0 has 2147483648"),
        ("elbo", {"images": X[:2], "seed": [[1, 2]]}, "equally many rows.*2"),
        ("reconstruct_bytes", {"image_bytes": [PNG, b"GIF89a"]}, "PNG or JPEG.*row 1.*GIF89a"),
        ("reconstruct_bytes", {"image_bytes": [PNG, "text"]}, "bytes, but row 1 is str"),
        ("reconstruct_bytes", {"image_bytes": PNG}, r"shape \[B\], got \[\]"),
        ("reconstruct_bytes", {"image_bytes": 5}, r"shape \[B\], got \[\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(client, signature, inputs, words):
    with pytest.raises(ValueError, match=words):
        client.predict(signature, inputs)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"version": -1}, "version must be an integer from 0 to .*, got -1"),
        ({"version": "1"}, "version must be an integer from 0 to .*, got '1'"),
        ({"version": True}, "version must be an integer from 0 to .*, got True"),
        ({"version": 2**63}, "version must be an integer from 0 to .*, got 9223372036854775808"),
        ({"timeout": 0}, "timeout must be more than 0 and at most 86400 seconds, got 0"),
        ({"timeout": float("inf")}, "timeout must be .* at most 86400 seconds, got inf"),
        ({"timeout": float("nan")}, "timeout must be .* at most 86400 seconds, got nan"),
        ({"timeout": 1e12}, "timeout must be .* at most 86400 seconds, got 1000000000000.0"),
        ({"timeout": "10"}, "timeout must be .* at most 86400 seconds, got '10'"),
        ({"timeout": True}, "timeout must be .* at most 86400 seconds, got True"),
        ({"max_batch_size": 0}, "max_batch_size must be an integer from 1 to .*, got 0"),
        ({"max_batch_size": 2.5}, "max_batch_size must be an integer from 1 to .*, got 2.5"),
        ({"value_range": (1.0, 1.0)}, r"value_range must be finite .*None, got \(1.0, 1.0\)"),
        ({"value_range": (0.0, np.inf)}, r"value_range must be finite .*, got \(0.0, inf\)"),
        ({"value_range": 1.0}, "value_range must be finite .*, got 1.0"),
        ({"value_range": ("0", "1")}, r"value_range must be finite .*, got \('0', '1'\)"),
    ],
)
def test_an_impossible_option_is_refused(connect, kwargs, words):
    with pytest.raises(ValueError, match=words):
        connect(**kwargs)


@pytest.mark.parametrize("seconds", [np.inf, 1e12, -1])
def test_an_impossible_timeout_of_one_call_is_refused(client, seconds):
    with pytest.raises(ValueError, match=f"at most 86400 seconds, got {seconds}"):
        client.predict("encode", {"images": X}, timeout=seconds)
    with pytest.raises(ValueError, match=f"at most 86400 seconds, got {seconds}"):
        client.wait_until_ready(timeout=seconds)


def test_the_longest_timeout_is_taken(connect):
    np.testing.assert_array_equal(connect(timeout=86_400).encode(X)["z_mean"], z_mean(X, 2.0))


def test_what_is_no_call_is_refused_without_the_server(route):
    with Client({"grpc": "localhost:1", "rest": "http://localhost:1"}[route], "m") as client:
        with pytest.raises(ValueError, match="inputs must be a dictionary of arrays .*ndarray"):
            client.predict("encode", X)
        with pytest.raises(ValueError, match="signature must be a name, got dict"):
            client.predict({"images": X}, "encode")


def test_the_range_of_the_images_is_an_option(connect):
    x = np.float32(-3.0) + X[:2]
    wide, free = connect(value_range=(-3, 1)), connect(value_range=None)
    for client in (wide, free):
        np.testing.assert_array_equal(client.reconstruct(x)["mean"], 2.0 * x)
    # A thousandth of the range, not of 1.
    assert wide.reconstruct(np.full_like(x, 1.003))["mean"].shape == x.shape
    with pytest.raises(ValueError, match=r"in \[-3, 1\], but row 0 has 1.005"):
        wide.reconstruct(np.full_like(x, 1.005))
    with pytest.raises(ValueError, match="finite, but row 0 has nan"):
        free.reconstruct(np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="floats .*got uint8$"):
        free.reconstruct(np.uint8(X))


# -- refused by the server, or not reached


def test_what_the_server_does_not_have_is_not_found(connect):
    for options in ({"name": "nobody"}, {"version": 7}):
        with pytest.raises(ServingError) as caught:
            connect(**options).encode(X)
        assert caught.value.code == "NOT_FOUND"


def test_more_rows_than_the_server_takes_are_refused_by_it(connect):
    client = connect(max_batch_size=MAX_ROWS + 1)
    with pytest.raises(ServingError, match="larger than 20000") as caught:
        client.decode(np.zeros((MAX_ROWS + 1, 2), np.float32))
    assert caught.value.code == "INVALID_ARGUMENT"
    assert str(caught.value).startswith("INVALID_ARGUMENT: Task size 20001")


def test_a_deadline_holds_for_a_call(client):
    with pytest.raises(ServingError, match="no answer within 1e-06 s") as caught:
        client.predict("encode", {"images": X}, timeout=1e-6)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    with pytest.raises(ValueError, match="timeout"):
        client.predict("encode", {"images": X}, timeout=-1)


def test_a_server_that_is_silent_exceeds_the_deadline(route):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        address = address if route == "grpc" else f"http://{address}"
        late = pytest.raises(ServingError, match=f"0.2 s from {address}")
        with Client(address, "m", timeout=0.2) as client, late as caught:
            client.encode(X)
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_server_that_is_gone_is_unavailable(run_double, small_versions, model_name):
    server = run_double(small_versions[1].parent)
    clients = [Client(server.addresses[route], model_name) for route in ROUTES]
    for client in clients:
        client.encode(X)
    server.stop()
    for client in clients:
        with client, pytest.raises(ServingError, match=r"127.0.0.1:\d+ does not answer") as caught:
            client.encode(X)
        assert caught.value.code == "UNAVAILABLE"


def test_waiting_ends_when_the_model_is_ready(client):
    assert client.wait_until_ready(timeout=20) == 2


def test_waiting_in_vain_says_why(connect):
    with pytest.raises(
        ServingError, match="'nobody' is not ready after 0.2 s.*NOT_FOUND"
    ) as caught:
        connect(name="nobody").wait_until_ready(timeout=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_without_grpc_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match="pip install --no-deps tensorflow-serving-api"):
        Client("localhost:8500", "m")
    Client("http://localhost:8501", "m").close()


# -- many at once


def test_threads_share_a_client(connect):
    client = connect(max_batch_size=8)

    def call(rng):
        x = X[rng.permutation(20)[: rng.integers(1, 20)]]
        np.testing.assert_array_equal(client.encode(x)["z_mean"], z_mean(x, 2.0))
        return 2

    with _load.Load([call] * 4) as load:
        load.wait_until_all_saw(2, calls=3)
    assert load.errors == []


@pytest.mark.slow
def test_a_version_switch_under_load_fails_no_request(
    run_double, small_versions, model_name, tmp_path, publish_copy
):
    base = tmp_path / "served"
    publish_copy(small_versions[1], base, 1)
    server = run_double(base)
    clients = [Client(server.addresses[route], model_name, max_batch_size=8) for route in ROUTES]

    def caller(client):
        def call(rng):
            x = X[rng.permutation(20)[: rng.integers(1, 20)]]
            answered = client.encode(x)["z_mean"]
            # One version for all parts: no third case.
            version = 1 if np.array_equal(answered, z_mean(x, 1.0)) else 2
            np.testing.assert_array_equal(answered, z_mean(x, float(version)))
            return version

        return call

    with _load.Load([caller(client) for client in clients] * 4) as load:
        load.wait_until_all_saw(1)
        publish_copy(small_versions[2], base, 2)
        load.wait_until_all_saw(2)
    for client in clients:
        client.close()
    assert load.errors == []
    assert all(versions == sorted(versions) for versions in load.seen)
