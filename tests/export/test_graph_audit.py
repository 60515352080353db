"""The audit of exported graphs can fail.

`test_isolated` audits the SavedModels that it writes, of every likelihood.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.export import _audit


def _spec(*shape):
    return [tf.TensorSpec(shape, tf.float32, "x")]


def _checked(x):
    return tf.ensure_shape(x, [None, 3])


def _compiled(x):
    return tf.function(tf.nn.relu, jit_compile=True)(_checked(x))


def _in_python(x):
    return tf.ensure_shape(tf.py_function(np.sin, [_checked(x)], tf.float32), [None, 3])


def _random(x):
    return _checked(x) + tf.random.normal([3])


def _random_in_a_loop(x):
    return tf.map_fn(lambda row: row + tf.random.uniform([3]), _checked(x))


def _checked_late(x):
    return _checked(2.0 * x)


def _checked_twice_read(x):
    return _checked(x) + x


def _checked_by_another_shape(x):
    return tf.ensure_shape(x, [None, None])


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_compiled, "_XlaMustCompile: "),
        (_in_python, "Python: EagerPyFunc"),
        (_random, "state: RandomStandardNormal"),
        (_random_in_a_loop, "state: RandomUniform"),
        (_checked_late, "shape: Mul reads x"),
        (_checked_twice_read, "shape: AddV2 reads x"),
        (_checked_by_another_shape, "shape: EnsureShape reads x"),
    ],
)
def test_a_bad_graph_is_found(tmp_path, function, problem):
    problems = _audit.problems(_audit.read(_saved(function, _spec(None, 3), tmp_path)))
    assert problems and all(found.startswith(problem) for found in problems)


def test_a_good_graph_has_no_problem(tmp_path):
    folder = _saved(lambda x: tf.sin(_checked(x)), _spec(None, 3), tmp_path)
    assert _audit.problems(_audit.read(folder)) == set()


def test_a_batch_of_fixed_size_is_found(tmp_path):
    folder = _saved(lambda x: tf.ensure_shape(x, [2, 3]) + 1.0, _spec(2, 3), tmp_path)
    names = {f"first dimension: {name} of serving_default" for name in ("x", "y")}
    assert _audit.problems(_audit.read(folder)) == names


def test_an_input_that_nothing_reads_is_found(tmp_path):
    folder = _saved(lambda x: tf.zeros([3]), _spec(None, 3), tmp_path)
    assert "shape: nothing reads x of serving_default" in _audit.problems(_audit.read(folder))


def test_an_operation_that_no_plain_server_knows_is_found(tmp_path):
    meta_graph = _audit.read(_saved(_checked, _spec(None, 3), tmp_path))
    function = max(meta_graph.graph_def.library.function, key=lambda f: len(f.node_def))
    function.node_def[-1].op = "OwnKernel"
    name = function.signature.name
    assert f"not registered: OwnKernel in {name}" in _audit.problems(meta_graph)


def _saved(function, spec, folder):
    """A SavedModel whose only signature is the function, its output named `y`."""
    module = tf.Module()
    module.served = tf.function(lambda x: {"y": function(x)}, input_signature=spec)
    tf.saved_model.save(module, str(folder), signatures=module.served)
    return folder
