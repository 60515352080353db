"""The REST transport against canned answers: what is sent, what is read, and what goes wrong."""

import contextlib
import http.server
import json
import socket
import threading

import numpy as np
import pytest

from tf_sigma_vae.export._rest import RestTransport
from tf_sigma_vae.export._transport import Deadline, ServingError, Signature, TensorInfo

SECONDS = 20
NUM_DRIPS = 250
IMAGES = TensorInfo("float32", (None, 1, 2))
ONE = Signature({"images": IMAGES}, {"mean": IMAGES})
TWO = Signature({"images": IMAGES}, {"a": TensorInfo("int64", (None,)), "b": IMAGES})
FILES = Signature(
    {"image_bytes": TensorInfo("string", (None,))},
    {"mean_bytes": TensorInfo("string", (None,)), "text": TensorInfo("string", (None,))},
)


class Canned(http.server.BaseHTTPRequestHandler):
    """Answers every request alike, and remembers what it was."""

    def log_message(self, *_):
        """Says nothing."""

    def do_GET(self):
        size = int(self.headers.get("Content-Length", 0))
        self.server.requests.append((self.command, self.path, self.rfile.read(size)))
        self.server.answer(self)

    do_POST = do_GET  # noqa: N815


@pytest.fixture
def serve():
    """Returns `serve(answer)`, the address of a server that answers so, and its requests."""
    with contextlib.ExitStack() as stack:

        def start(answer):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned)
            server.answer, server.requests = answer, []
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            return f"http://127.0.0.1:{server.server_port}", server.requests

        yield start


def _says(content, status=200, size=None):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if size is None else size))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def _predict(address, signature, inputs, version=None, seconds=SECONDS, name="m"):
    transport = RestTransport(address)
    return transport.predict(name, version, "s", signature, inputs, Deadline(seconds))


def test_a_request_is_in_columns_and_exact(serve):
    address, requests = serve(_says({"outputs": [[[0.0, 0.0]]]}))
    x = np.float32([[[0.1, 1 / 3]]])
    _predict(address, ONE, {"images": x})
    ((method, path, body),) = requests
    assert (method, path) == ("POST", "/v1/models/m:predict")
    content = json.loads(body)
    assert content["signature_name"] == "s"
    assert np.float32(content["inputs"]["images"]).tobytes() == x.tobytes()


def test_a_version_a_name_and_a_path_in_front_are_in_the_route(serve):
    address, requests = serve(_says({"outputs": [[[0.0, 0.0]]]}))
    inputs = {"images": np.zeros((1, 1, 2))}
    _, version = _predict(f"{address}/behind/", ONE, inputs, version=3, name="a b")
    assert requests[0][1] == "/behind/v1/models/a%20b/versions/3:predict"
    assert version == 3


def test_one_output_has_no_name_and_several_have(serve):
    address, _ = serve(_says({"outputs": [[[0.5, 0.25]]]}))
    outputs, _ = _predict(address, ONE, {"images": np.zeros((1, 1, 2))})
    assert set(outputs) == {"mean"}
    np.testing.assert_array_equal(outputs["mean"], np.float32([[[0.5, 0.25]]]))
    address, _ = serve(_says({"outputs": {"a": [2**53 + 1], "b": [[[0.1, 1]]]}}))
    outputs, _ = _predict(address, TWO, {"images": np.zeros((1, 1, 2))})
    assert outputs["a"].dtype == np.int64
    assert outputs["a"][0] == 2**53 + 1
    np.testing.assert_array_equal(outputs["b"], np.float32([[[0.1, 1]]]))


def test_what_is_not_finite_is_read(serve):
    address, _ = serve(_says(b'{"outputs": [[[NaN, -Infinity]]]}'))
    outputs, _ = _predict(address, ONE, {"images": np.zeros((1, 1, 2))})
    np.testing.assert_array_equal(outputs["mean"], np.float32([[[np.nan, -np.inf]]]))


def test_files_are_base64_both_ways(serve):
    answer = {"outputs": {"mean_bytes": [{"b64": "AAE="}], "text": ["é"]}}
    address, requests = serve(_says(answer))
    outputs, _ = _predict(address, FILES, {"image_bytes": np.array([b"\xff\x00"], object)})
    assert json.loads(requests[0][2])["inputs"] == {"image_bytes": [{"b64": "/wA="}]}
    assert outputs["mean_bytes"].tolist() == [b"\x00\x01"]
    assert outputs["text"].tolist() == ["é".encode()]


def test_signatures_are_read_from_the_metadata(serve):
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False}
    signature = {
        "inputs": {"seed": {"dtype": "DT_INT32", "tensor_shape": shape, "name": "x:0"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": {"unknown_rank": True}}},
        "method_name": "tensorflow/serving/predict",
    }
    # TensorFlow's own initialization, which a server lists too.
    signatures = {"sample": signature, "__saved_model_init_op": {"method_name": ""}}
    metadata = {"signature_def": {"signature_def": signatures}}
    address, requests = serve(_says({"model_spec": {"version": "4"}, "metadata": metadata}))
    found = RestTransport(address).metadata("m", None, Deadline(SECONDS))
    assert requests[0][:2] == ("GET", "/v1/models/m/metadata")
    assert found.version == 4
    assert found.signatures == {
        "sample": Signature(
            {"seed": TensorInfo("int32", (None, 2))}, {"y": TensorInfo("float32", None)}
        )
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (418, "UNKNOWN"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_an_http_status_has_the_name_of_grpc(serve, status, code):
    address, _ = serve(_says({"error": "words"}, status))
    with pytest.raises(ServingError) as caught:
        _predict(address, ONE, {"images": np.zeros((1, 1, 2))})
    assert (caught.value.code, caught.value.message) == (code, "words")


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        # Older servers escape an apostrophe, which is no JSON.
        (_says(b'{ "error": "it\\\'s wrong" }', 400), "INVALID_ARGUMENT", "it\\\\'s wrong"),
        (_says(b"<html>bad gateway</html>", 502), "UNAVAILABLE", "HTTP 502: <html>bad"),
        (_says(b"<html>hello</html>"), "INTERNAL", "no JSON"),
        (_says(b'{"outputs"', size=100), "UNAVAILABLE", "does not answer"),
        (lambda handler: None, "UNAVAILABLE", "does not answer"),
    ],
)
def test_an_answer_that_is_no_answer_is_an_error(serve, answer, code, words):
    address, _ = serve(answer)
    with pytest.raises(ServingError, match=words) as caught:
        _predict(address, ONE, {"images": np.zeros((1, 1, 2))})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "content",
    [{}, [], None, 1, {"outputs": {}}, {"outputs": [[0.5], 1]}, {"outputs": {"mean": "text"}}],
)
def test_a_prediction_of_another_kind_of_server_is_an_error(serve, content):
    address, _ = serve(_says(content))
    with pytest.raises(ServingError, match="m:predict did not answer as Tensor") as caught:
        _predict(address, ONE, {"images": np.zeros((1, 1, 2))})
    assert caught.value.code == "INTERNAL"


@pytest.mark.parametrize(
    "content",
    [
        *({}, [], {"model_version_status": 1}, {"metadata": {}}),
        {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]},
        {
            "model_spec": {"version": "1"},
            "metadata": {"signature_def": {"signature_def": {"a": 1}}},
        },
    ],
)
def test_a_state_of_another_kind_of_server_is_an_error(serve, content):
    address, _ = serve(_says(content))
    transport = RestTransport(address)
    for ask in (transport.states, transport.metadata):
        with pytest.raises(ServingError, match="did not answer as TensorFlow Serving") as caught:
            ask("m", None, Deadline(SECONDS))
        assert caught.value.code == "INTERNAL"


def test_an_answer_that_drips_ends_at_the_deadline(serve):
    stopped = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        # Each byte comes well within any timeout of its own.
        with contextlib.suppress(OSError):
            for _ in range(NUM_DRIPS):
                handler.wfile.write(b" ")
                stopped.wait(0.02)

    address, _ = serve(drip)
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED: no answer within 0.2 s"):
        _predict(address, ONE, {"images": np.zeros((1, 1, 2))}, seconds=0.2)
    stopped.set()


def test_a_silent_server_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServingError, match=f"DEADLINE_EXCEEDED.*{address}"):
            _predict(address, ONE, {"images": np.zeros((1, 1, 2))}, seconds=0.1)


@pytest.mark.parametrize("address", ["ftp://host:1", "http://", "http:///path"])
def test_an_address_of_another_kind_is_refused(address):
    with pytest.raises(ValueError, match="http://host:port"):
        RestTransport(address)
