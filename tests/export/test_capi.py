"""The C API by which other tests serve: it answers, refuses and ends as a server does."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from tests.export import _capi

STRINGS = [b"", b"a\0b\0", b"x" * 100_000]
NUM_CALLERS = 4


class _Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable([1.0, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def scaled(self, x):
        return {"y": tf.ensure_shape(x, [None, 3]) * self.weight}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None, 2], tf.int32, "count"),
        ]
    )
    def doubled(self, text, count):
        return {"twice": text + text, "count": 2 * count}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def compiled(self, x):
        return {"y": tf.function(tf.nn.relu, jit_compile=True)(x)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    module, folder = _Module(), tmp_path_factory.mktemp("saved")
    names = ("scaled", "doubled", "compiled")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


@pytest.fixture
def session(folder):
    with _capi.Session(str(folder)) as session:
        yield session


def _code(session, *request):
    with pytest.raises(_capi.CApiError) as caught:
        session.run(*request)
    return caught.value.code


def test_signatures_are_read_from_the_loaded_graph(session):
    assert set(session.signatures) == {"scaled", "doubled", "compiled"}
    doubled = session.signatures["doubled"]
    described = {name: (info.dtype, info.shape) for name, info in doubled.inputs.items()}
    assert described == {"text": ("string", [-1]), "count": ("int32", [-1, 2])}
    assert {name: info.dtype for name, info in doubled.outputs.items()} == {
        "twice": "string",
        "count": "int32",
    }


@pytest.mark.parametrize("num_rows", [0, 1, 4])
def test_numbers_come_back(session, num_rows):
    x = np.arange(3.0 * num_rows, dtype=np.float32).reshape(num_rows, 3)
    # Not contiguous, as a slice of a larger batch by columns is.
    x = np.concatenate([x, x], axis=1)[:, :3]
    answer = session.run("scaled", {"x": x})
    np.testing.assert_array_equal(answer["y"], x * np.float32([1, 2, 3]))
    assert answer["y"].dtype == np.float32


def test_strings_of_any_bytes_and_length_come_back(session):
    text = np.array(STRINGS, object)
    answer = session.run("doubled", {"text": text, "count": np.array([[1, -2]], np.int32)})
    assert answer["twice"].tolist() == [string + string for string in STRINGS]
    assert answer["count"].tolist() == [[2, -4]]


def test_errors_have_the_code_of_the_server(session):
    x = np.ones((2, 3), np.float32)
    assert _code(session, "unknown", {"x": x}) == _capi.FAILED_PRECONDITION
    wrong = [{}, {"x": x, "y": x}, {"x": x[:, :2]}, {"x": x[0]}, {"x": x.astype(np.float64)}]
    assert {_code(session, "scaled", inputs) for inputs in wrong} == {_capi.INVALID_ARGUMENT}


def test_what_is_not_bytes_or_a_number_is_a_type_error(session):
    count = np.zeros((1, 2), np.int32)
    for text in (np.array(["text"], object), np.array([b"text"]), np.array(["text"])):
        with pytest.raises(TypeError):
            session.run("doubled", {"text": text, "count": count})


def test_a_folder_without_a_model_cannot_be_loaded(tmp_path):
    with pytest.raises(_capi.CApiError, match="Could not find SavedModel"):
        _capi.Session(str(tmp_path))


def test_xla_fails_while_a_session_is_open_and_works_again_after(folder):
    x, relu = tf.constant([-1.0, 2.0]), tf.function(tf.nn.relu, jit_compile=True)
    with _capi.Session(str(folder)) as session, _capi.Session(str(folder)) as other:
        other.close()
        inputs = {"x": np.ones((2, 3), np.float32)}
        with pytest.raises(_capi.CApiError, match="XLA compilation disabled"):
            session.run("compiled", inputs)
        with pytest.raises(tf.errors.OpError, match="XLA compilation disabled"):
            relu(x)
    assert relu(x).numpy().tolist() == [0.0, 2.0]


def test_closing_waits_for_the_calls_that_run(folder):
    session, codes = _capi.Session(str(folder)), []
    is_running = threading.Barrier(NUM_CALLERS + 1)

    def call_until_closed():
        x = {"x": np.ones((1000, 3), np.float32)}
        session.run("scaled", x)
        is_running.wait()
        try:
            while True:
                session.run("scaled", x)
        except _capi.CApiError as error:
            codes.append(error.code)

    callers = [threading.Thread(target=call_until_closed) for _ in range(NUM_CALLERS)]
    for caller in callers:
        caller.start()
    is_running.wait()
    session.close()
    for caller in callers:
        caller.join()
    # Told that it is closed, not canceled on the way.
    assert codes == [_capi.FAILED_PRECONDITION] * NUM_CALLERS
    session.close()
