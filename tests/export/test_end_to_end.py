"""A published model, a server and the client: what every server of such a model must do.

Against the test double; and against TensorFlow Serving itself, batching on, where the environment
variable TENSORFLOW_MODEL_SERVER names its binary. The parts are always tested: the client against
the double in `test_client`, a real model in the double's C API in `test_isolated`.
"""

import os

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.export import _load, _real_versions, _servers
from tests.export._requests import INPUTS
from tests.export._servers import ROUTES
from tests.export._small_models import IMAGE_SHAPE
from tf_sigma_vae.export import server_files, warmup
from tf_sigma_vae.export._transport import Deadline
from tf_sigma_vae.export.client import Client, ServingError

pytestmark = pytest.mark.slow

BINARY = "TENSORFLOW_MODEL_SERVER"
NUM_THREADS = 8
READY_SECONDS = 120
CALL_SECONDS = 60
# Of the largest absolute value of an output, or of 1 if that is smaller: in batches of another size
# sums come in another order. As in `test_isolated`.
TOLERANCE = 32 * np.finfo(np.float32).eps
# Between two versions, or two rows, the outputs of `encode` differ by much more.
OTHER = 1e-4


def _why_not_real():
    binary = os.environ.get(BINARY)
    if not binary:
        return f"set {BINARY} to the path of a tensorflow_model_server to test against it"
    return "" if os.access(binary, os.X_OK) else f"{BINARY}={binary} is no executable"


REAL = pytest.mark.skipif(bool(_why_not_real()), reason=_why_not_real() or "it is there")


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    return _real_versions.build(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def inputs():
    return _real_versions.inputs()


@pytest.fixture(scope="module", params=["double", pytest.param("real", marks=REAL)])
def start(request, repository_root, tmp_path_factory, model_name):
    """Returns `start(base, num_versions=1)`, which starts a server of that kind."""

    def run(base, num_versions=1):
        server_files.write(str(base), model_name)
        log, options = tmp_path_factory.mktemp("log") / "log", {"num_versions": num_versions}
        if request.param == "real":
            return _servers.start_real(os.environ[BINARY], base, model_name, log, **options)
        options["max_rows"] = server_files.MAX_BATCH_SIZE
        return _servers.start_double(repository_root, base, model_name, log, **options)

    return run


@pytest.fixture(scope="module")
def publish(publish_copy, versions, model_name):
    """Returns `publish(source, base, version, warm)`, with the warm-up of some signatures."""

    def run(source, base, version, warm=("encode",)):
        requests = {name: versions[source].requests[name] for name in warm}

        def add(folder):
            warmup.write_requests(folder, requests, model_name)

        publish_copy(versions[source].folder, base, version, add)

    return run


def _connect(server, route, name, **options):
    client = Client(server.addresses[route], name, timeout=CALL_SECONDS, **options)
    client.wait_until_ready(READY_SECONDS)
    return client


def _send(client, signature, arrays, version=None):
    """A request as another client would send it, unchecked."""
    deadline = Deadline(CALL_SECONDS)
    return client._transport.predict(client.name, version, signature, None, arrays, deadline)[0]


# -- two versions at a time


@pytest.fixture(scope="module")
def server(start, publish, tmp_path_factory, model_name):
    base = tmp_path_factory.mktemp("served") / model_name
    publish(1, base, 1, warm=INPUTS)
    publish(2, base, 2)
    with start(base, num_versions=2) as running:
        for version in (1, 2):
            _connect(running, "grpc", model_name, version=version).close()
        yield running


@pytest.fixture
def connect(server, route, model_name):
    """Returns `connect(**options)`, a client; closed when the test ends."""
    clients = []

    def make(**options):
        clients.append(_connect(server, route, model_name, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def _assert_equal(answered, expected):
    assert set(answered) == set(expected)
    for key, wanted in expected.items():
        assert answered[key].dtype == wanted.dtype, key
        assert answered[key].shape == wanted.shape, key
        if wanted.dtype == object:
            # A value halfway between two grey levels may be rounded either way.
            levels = [[tf.io.decode_png(f) for f in files] for files in (answered[key], wanted)]
            assert np.abs(np.subtract(*levels, dtype=np.int32)).max() <= 1, key
        else:
            atol = TOLERANCE * max(1.0, np.max(np.abs(wanted)))
            np.testing.assert_allclose(answered[key], wanted, rtol=0, atol=atol, err_msg=key)


def _call(client, name, rows):
    """By the client's own method where there is one that gives arrays."""
    if name in ("serving_default", "decode"):
        return client.predict(name, rows)
    return getattr(client, name)(*rows.values())


@pytest.mark.parametrize("name", INPUTS)
def test_every_signature_answers_as_python_does(connect, versions, inputs, name):
    client, expected = connect(version=1), versions[1].expected[name]
    rows = {key: inputs[key] for key in INPUTS[name]}
    _assert_equal(_call(client, name, rows), expected)
    one = {key: array[:1] for key, array in rows.items()}
    _assert_equal(_call(client, name, one), {key: v[:1] for key, v in expected.items()})


def test_decode_gives_the_distribution_of_the_model(connect, versions, inputs):
    p = connect(version=1).decode(inputs["z"])
    np.testing.assert_allclose(p.log_prob(inputs["images"]), versions[1].log_prob, rtol=1e-5)


def test_the_newest_version_answers_where_none_is_asked(connect, versions, inputs):
    client = connect()
    assert client.metadata().version == 2
    _assert_equal(client.encode(inputs["images"]), versions[2].expected["encode"])


def test_the_server_declares_the_signatures(connect):
    found = connect().signatures
    assert {name: set(found[name].inputs) for name in found} == {
        name: set(names) for name, names in INPUTS.items()
    }
    assert found["elbo"].inputs["seed"] == ("int32", (None, 2))
    assert found["elbo"].inputs["images"] == ("float32", (None, *IMAGE_SHAPE))
    assert all(info.shape[0] is None for s in found.values() for info in s.outputs.values())


def test_a_row_that_is_not_finite_leaves_the_others(server, versions, inputs, model_name):
    x, good = inputs["images"][:4].copy(), [0, 1, 3]
    x[2, 0, 0, 0] = np.nan
    with _connect(server, "grpc", model_name) as client:
        z_mean = _send(client, "encode", {"images": x}, version=1)["z_mean"]
    assert np.isnan(z_mean[2]).all()
    expected = versions[1].expected["encode"]["z_mean"][good]
    np.testing.assert_allclose(z_mean[good], expected, atol=TOLERANCE)


X = _real_versions.inputs()["images"]
WRONG = {
    "shape": ("encode", {"images": X[:2, :3]}, "INVALID_ARGUMENT"),
    "rank": ("encode", {"images": X[0]}, "INVALID_ARGUMENT"),
    "name": ("encode", {"image": X[:2]}, "INVALID_ARGUMENT"),
    "missing": ("elbo", {"images": X[:2]}, "INVALID_ARGUMENT"),
    "dtype": ("encode", {"images": X[:2].astype(np.float64)}, "INVALID_ARGUMENT"),
    "too many rows": ("encode", {"images": X}, "INVALID_ARGUMENT"),
    "signature": ("nothing", {"images": X[:2]}, "FAILED_PRECONDITION"),
}


# JSON knows one kind of number, hence no wrong dtype.
@pytest.mark.parametrize(
    ("route", "name"), [(r, n) for r in ROUTES for n in WRONG if (r, n) != ("rest", "dtype")]
)
def test_the_server_refuses_what_the_client_would_not_send(connect, route, name):
    signature, arrays, code = WRONG[name]
    with pytest.raises(ServingError) as caught:
        _send(connect(), signature, arrays)
    # HTTP has one status for both.
    assert caught.value.code == ("INVALID_ARGUMENT" if route == "rest" else code)


@pytest.mark.parametrize("options", [{"name": "nobody"}, {"version": 7}])
def test_an_unknown_model_or_version_is_not_found(server, route, model_name, inputs, options):
    client = Client(server.addresses[route], **{"name": model_name, **options})
    with client, pytest.raises(ServingError) as caught:
        client.encode(inputs["images"])
    assert caught.value.code == "NOT_FOUND"


def test_a_call_without_rows_is_answered(connect, inputs):
    assert connect().sample(inputs["seed"][:0])["image"].shape == (0, *IMAGE_SHAPE)


def _caller(client, versions, x):
    """A function that encodes some rows and says which version has answered."""

    def call(rng):
        rows = rng.permutation(len(x))[: rng.integers(1, len(x))]
        answered = client.encode(x[rows])["z_mean"]
        for version, real in versions.items():
            if np.abs(answered - real.expected["encode"]["z_mean"][rows]).max() < OTHER:
                return version
        raise AssertionError(f"no version answers this to the rows {rows}")

    return call


def test_threads_get_their_own_answers(connect, versions, inputs):
    client = connect(version=1)
    with _load.Load([_caller(client, versions, inputs["images"])] * NUM_THREADS) as load:
        load.wait_until_all_saw(1, calls=3)
    assert load.errors == []
    assert all(set(seen) == {1} for seen in load.seen)


# -- one version after the other


def test_a_switch_of_versions_under_load_fails_no_request(
    start, publish, versions, inputs, tmp_path, model_name
):
    base = tmp_path / model_name
    publish(1, base, 1)
    with start(base) as running:
        clients = [_connect(running, route, model_name) for route in ROUTES]
        calls = [_caller(client, versions, inputs["images"]) for client in clients]
        with _load.Load(calls * (NUM_THREADS // 2)) as load:
            load.wait_until_all_saw(1)
            publish(2, base, 2)
            load.wait_until_all_saw(2)
        for client in clients:
            client.close()
    assert load.errors == []
    assert all(seen == sorted(seen) for seen in load.seen)


def _states_once_tried(client, version):
    """The states of all versions, once the server is through with one, whatever became of it."""
    deadline = Deadline(READY_SECONDS)
    while True:
        states = client._transport.states(client.name, None, deadline)
        if states.get(version, ("START", ""))[0] not in ("START", "LOADING"):
            return states


def test_a_version_that_fails_its_warm_up_leaves_the_old_one(
    start, publish, publish_copy, versions, inputs, tmp_path, model_name
):
    def add_wrong_request(folder):
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.name = model_name
        log.predict_log.request.model_spec.signature_name = "nothing"
        os.mkdir(os.path.dirname(os.path.join(folder, warmup.FILE)))
        with tf.io.TFRecordWriter(os.path.join(folder, warmup.FILE)) as writer:
            writer.write(log.SerializeToString())

    base = tmp_path / model_name
    publish(1, base, 1)
    with start(base) as running, _connect(running, "grpc", model_name) as client:
        publish_copy(versions[2].folder, base, 2, add_wrong_request)
        states = _states_once_tried(client, 2)
        assert (states[1][0], states[2][0]) == ("AVAILABLE", "END")
        _assert_equal(client.encode(inputs["images"]), versions[1].expected["encode"])
        publish(2, base, 3)
        _connect(running, "grpc", model_name, version=3).close()
        assert client.metadata().version == 3
        _assert_equal(client.encode(inputs["images"]), versions[2].expected["encode"])
