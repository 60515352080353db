"""The audit of exported graphs: their signatures by the table, and that the audit can fail.

`test_isolated` audits the SavedModels that it writes, of every likelihood.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests._models import LATENT_SIZE, images, tiny_vae
from tests.export import _audit, _tables
from tf_sigma_vae import plugins

SHAPE = (4, 6, 3)
# What differs between the likelihoods and is traced in a moment.
QUICK = ("serving_default", "encode", "decode")


def _plain(names_and_specs):
    """`{name: (dtype, shape)}` of tensor specs, as in `_audit.table`."""
    return {
        name: (
            {"float32": "float"}.get(spec.dtype.name, spec.dtype.name),
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in names_and_specs
    }


@pytest.mark.parametrize("name", plugins.names("likelihoods"))
def test_every_likelihood_has_the_signatures_of_the_table(name):
    model = tiny_vae(name, SHAPE)
    model.calibrate(images(8, SHAPE))
    functions, expected = model.signatures([1.0, 2.0]), _tables.expected(name, SHAPE)
    assert _tables.LATENT_SIZE == LATENT_SIZE
    assert set(functions) == set(expected)
    for signature in functions:
        specs = functions[signature].input_signature
        assert _plain((spec.name, spec) for spec in specs) == expected[signature][0]
    for signature in QUICK:
        outputs = functions[signature].get_concrete_function().structured_outputs
        assert _plain(outputs.items()) == expected[signature][1]


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory):
    """An export of images that no PNG holds, without validation scores."""
    folder = tmp_path_factory.mktemp("two_channels") / "1"
    tiny_vae("gaussian_shared", (4, 6, 2)).export(folder)
    return folder


def test_images_of_two_channels_have_no_files_and_no_scores_no_p_value(two_channels):
    meta_graph = _audit.read(two_channels)
    expected = _tables.expected("gaussian_shared", (4, 6, 2), has_p_value=False)
    assert _audit.table(meta_graph) == expected
    assert _audit.problems(meta_graph) == set()


def _spec(*shape):
    return [tf.TensorSpec(shape, tf.float32, "x")]


def _checked(x):
    return tf.ensure_shape(x, [None, 3])


def _compiled(x):
    return tf.function(tf.nn.relu, jit_compile=True)(_checked(x))


def _in_python(x):
    return tf.ensure_shape(tf.py_function(np.sin, [_checked(x)], tf.float32), [None, 3])


def _in_numpy(x):
    return tf.ensure_shape(
        tf.numpy_function(np.sin, [_checked(x)], tf.float32, stateful=False), [None, 3]
    )


def _random(x):
    return _checked(x) + tf.random.normal([3])


def _random_in_a_loop(x):
    return tf.map_fn(lambda row: row + tf.random.uniform([3]), _checked(x))


def _dropout(x):
    return tf.nn.dropout(_checked(x), 0.5)


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
        (_in_numpy, "Python: PyFuncStateless"),
        (_random, "state: RandomStandardNormal"),
        (_random_in_a_loop, "state: RandomUniform"),
        (_dropout, "state: RandomUniform"),
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


def test_an_operation_that_no_plain_server_knows_is_found(two_channels):
    meta_graph = _audit.read(two_channels)
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
