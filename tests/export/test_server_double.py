"""The test double keeps the contract of TensorFlow Serving; versions, gRPC and REST as such."""

import base64
import json
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.export import _served_versions, _servers
from tests.export._capi import CApiError
from tests.export._small_models import IMAGE_SHAPE, PNG, z_mean

MAX_ROWS = 8
SECONDS = 20
X = np.random.default_rng(0).uniform(size=(3, *IMAGE_SHAPE)).astype(np.float32)
# Sums of 24 float32 numbers below 1, in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def server(repository_root, tmp_path_factory, small_versions, model_name):
    base, log = small_versions[1].parent, tmp_path_factory.mktemp("double") / "log"
    with _servers.start_double(repository_root, base, model_name, log, max_rows=MAX_ROWS) as double:
        yield double


# -- gRPC


@pytest.fixture(scope="module")
def stubs(server):
    with grpc.insecure_channel(server.addresses["grpc"]) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


@pytest.fixture
def predict(stubs, model_name):
    def call(signature, inputs, name=model_name, version=None):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        if version is not None:
            request.model_spec.version.value = version
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        return stubs[0].Predict(request, timeout=SECONDS)

    return call


def test_the_newest_version_answers_and_says_so(predict, model_name):
    response = predict("encode", {"images": X})
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (model_name, 2, "encode")
    answered = tf.make_ndarray(response.outputs["z_mean"])
    np.testing.assert_allclose(answered, z_mean(X, 2.0), atol=TOLERANCE)


def test_the_default_signature_has_no_name(predict):
    assert set(predict("", {"images": X}).outputs) == {"mean"}


@pytest.mark.parametrize(
    ("signature", "inputs", "kwargs", "code"),
    [
        ("nothing", {"images": X}, {}, "FAILED_PRECONDITION"),
        ("encode", {"images": X}, {"name": "nobody"}, "NOT_FOUND"),
        ("encode", {"images": X}, {"version": 1}, "NOT_FOUND"),
        ("encode", {"image": X}, {}, "INVALID_ARGUMENT"),
        ("encode", {}, {}, "INVALID_ARGUMENT"),
        ("encode", {"images": X, "seed": X}, {}, "INVALID_ARGUMENT"),
        ("encode", {"images": X.astype(np.float64)}, {}, "INVALID_ARGUMENT"),
        ("encode", {"images": X[0]}, {}, "INVALID_ARGUMENT"),
        ("encode", {"images": X[:, :2]}, {}, "INVALID_ARGUMENT"),
        ("encode", {"images": X.repeat(3, axis=0)}, {}, "INVALID_ARGUMENT"),
    ],
)
def test_a_wrong_request_is_refused_by_grpc(predict, signature, inputs, kwargs, code):
    with pytest.raises(grpc.RpcError) as caught:
        predict(signature, inputs, **kwargs)
    assert caught.value.code().name == code


def test_shapes_are_not_compared_with_the_signature(predict):
    # The graph of `elbo` does not check either.
    response = predict("elbo", {"images": X[:, :1, :2], "seed": np.int32([[1, 0]] * 3)})
    assert tf.make_ndarray(response.outputs["elbo"]).shape == (3,)


def test_metadata_by_grpc_has_names_types_and_shapes(stubs, model_name):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model_name
    response = stubs[0].GetModelMetadata(request, timeout=SECONDS)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["elbo"].inputs["seed"]
    assert info.dtype == tf.int32.as_datatype_enum
    assert [dim.size for dim in info.tensor_shape.dim] == [-1, 2]
    assert response.model_spec.version.value == 2
    with pytest.raises(grpc.RpcError, match="not supported"):
        del request.metadata_field[:]
        stubs[0].GetModelMetadata(request, timeout=SECONDS)


def test_the_state_by_grpc_is_that_of_the_versions(stubs, model_name):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model_name
    (status,) = stubs[1].GetModelStatus(request, timeout=SECONDS).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
    assert (status.version, status.state, status.status.error_code) == (2, available, 0)


# -- REST


@pytest.fixture
def http(server, model_name):
    def call(route, body=None):
        """Status and content of GET, or of POST where there is a body."""
        url = f"{server.addresses['rest']}/v1/models/{model_name}{route}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(url, data, timeout=SECONDS) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return call


def test_the_state_by_rest_is_that_of_the_versions(http):
    status = {"error_code": "OK", "error_message": ""}
    expected = [{"version": "2", "state": "AVAILABLE", "status": status}]
    assert http("") == (200, {"model_version_status": expected})
    assert http("/versions/2") == http("")
    assert http("/versions/7")[0] == 404


def test_metadata_by_rest_has_names_types_and_shapes(http):
    code, found = http("/metadata")
    assert (code, found["model_spec"]["version"]) == (200, "2")
    info = found["metadata"]["signature_def"]["signature_def"]["elbo"]["inputs"]["seed"]
    assert info["dtype"] == "DT_INT32"
    assert [dim["size"] for dim in info["tensor_shape"]["dim"]] == ["-1", "2"]


def test_rows_and_columns_are_two_forms_of_one_request(http):
    # Exact in any order of the sum.
    x = np.round(X * 8) / 8
    seed = [[row, 0] for row in range(3)]
    rows = [{"images": row.tolist(), "seed": s} for row, s in zip(x, seed, strict=True)]
    _, by_row = http(":predict", {"signature_name": "elbo", "instances": rows})
    columns = {"images": x.tolist(), "seed": seed}
    _, by_column = http("/versions/2:predict", {"signature_name": "elbo", "inputs": columns})
    # One output has no name, in either form.
    expected = (x.sum(axis=(1, 2, 3)) + np.arange(3)).tolist()
    assert by_row == {"predictions": expected}
    assert by_column == {"outputs": expected}


def test_several_outputs_have_names_in_both_forms(http):
    _, by_row = http(":predict", {"signature_name": "encode", "instances": X.tolist()})
    _, by_column = http(":predict", {"signature_name": "encode", "inputs": X.tolist()})
    assert [set(row) for row in by_row["predictions"]] == [{"z_mean", "z_scale"}] * 3
    assert [row["z_mean"] for row in by_row["predictions"]] == by_column["outputs"]["z_mean"]


def test_files_are_base64_where_the_name_ends_in_bytes(http):
    given = {"b64": base64.b64encode(PNG).decode()}
    _, found = http(":predict", {"signature_name": "reconstruct_bytes", "instances": [given]})
    (row,) = found["predictions"]
    assert base64.b64decode(row["mean_bytes"]["b64"]) == PNG + b"\0"
    assert row["text"] == "2.0"


@pytest.mark.parametrize(
    ("route", "body", "code"),
    [
        (":predict", {"signature_name": "nothing", "inputs": X.tolist()}, 400),
        (":predict", {"signature_name": "encode", "inputs": {"image": X.tolist()}}, 400),
        (":predict", {"signature_name": "encode", "inputs": {"images": ["a"]}}, 400),
        (":predict", {"signature_name": "encode", "inputs": X[0].tolist()}, 400),
        (":predict", {"signature_name": "encode", "inputs": [[1.0], [1.0, 2.0]]}, 400),
        (":predict", {"signature_name": "encode", "instances": []}, 400),
        (":predict", {"signature_name": "encode", "inputs": X.repeat(3, axis=0).tolist()}, 400),
        (":predict", {"signature_name": "encode"}, 400),
        ("/versions/1:predict", {"signature_name": "encode", "inputs": X.tolist()}, 404),
        (":classify", {}, 400),
    ],
)
def test_a_wrong_request_is_refused_by_rest(http, route, body, code):
    status, found = http(route, body)
    assert status == code
    assert set(found) == {"error"}


# -- versions


class FakeSession:
    """Loads where there is a graph; answers nothing."""

    opened, closed = (), ()

    def __init__(self, folder):
        number = folder.rpartition("/")[2]
        type(self).opened += (number,)
        if not tf.io.gfile.exists(f"{folder}/saved_model.pb"):
            raise CApiError(5, f"no graph in {folder}")
        self.number = number

    def run(self, signature, inputs):
        raise CApiError(9, f"{signature} not found")

    def close(self):
        type(self).closed += (self.number,)


@pytest.fixture
def versions(tmp_path, monkeypatch):
    """Returns `make(**options)` and `add(name)` over one folder, with sessions that are fakes."""
    monkeypatch.setattr(_served_versions, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "opened", ())
    monkeypatch.setattr(FakeSession, "closed", ())

    def add(name, complete=True):
        (tmp_path / name).mkdir(exist_ok=True)
        if complete:
            (tmp_path / name / "saved_model.pb").touch()
        return tmp_path / name

    return lambda **options: _served_versions.ServedVersions(tmp_path, "m", **options), add


def _states(served):
    return {version: state for version, (state, _, _) in served.states("m").items()}


def test_only_names_that_are_integers_count(versions):
    make, add = versions
    for name in ("3", ".tmp-9", "v2", "1e3", "9x", "-4"):
        add(name)
    served = make()
    served.poll()
    assert FakeSession.opened == ("3",)


def test_a_new_version_is_loaded_before_the_old_one_is_dropped(versions):
    make, add = versions
    add("1")
    served = make()
    served.poll()
    add("2")
    with served.session("m") as (session, version):
        assert (session.number, version) == ("1", 1)
    served.poll()
    assert (FakeSession.opened, FakeSession.closed) == (("1", "2"), ("1",))
    assert _states(served) == {1: "END", 2: "AVAILABLE"}
    with pytest.raises(CApiError, match="Specific 1"), served.session("m", 1):
        pass


def test_the_old_version_stays_where_the_new_one_fails_and_that_is_not_tried_again(versions):
    make, add = versions
    add("1")
    served = make()
    served.poll()
    add("2", complete=False)
    served.poll()
    add("2")
    served.poll()
    assert _states(served) == {1: "AVAILABLE", 2: "END"}
    assert FakeSession.opened == ("1", "2")
    assert served.states("m", 2)[2][1:] == (5, f"no graph in {add('2')}")
    add("3")
    served.poll()
    assert _states(served) == {1: "END", 2: "END", 3: "AVAILABLE"}


def test_a_warm_up_request_that_fails_fails_the_load(versions):
    make, add = versions
    extra = add("1") / "assets.extra"
    extra.mkdir()
    log = tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests"))
    log.write(b"")
    log.close()
    served = make()
    served.poll()
    assert served.states("m")[1] == ("END", 9, " not found")


def test_several_of_the_newest_can_be_served(versions):
    make, add = versions
    for name in ("1", "2", "10"):
        add(name)
    served = make(num_versions=2)
    served.poll()
    assert _states(served) == {2: "AVAILABLE", 10: "AVAILABLE"}
    with served.session("m") as (session, _):
        assert session.number == "10"
