"""XLA, and what makes a training step fit for a TPU, for every decoder.

There is no TPU here, so fitness is checked by construction. The whole training step (loss,
gradients, clipping, Adam, moving averages, metrics) of every decoder is traced at a static batch
size with the checks of values in it, as `TPUStrategy` traces it. Every operation of the graph and
of the functions in it, with its types, must have a kernel among those that TensorFlow has
registered for XLA: those for TPUs where the package is tensorflow-tpu (they are listed without a
TPU too), those for CPUs otherwise, from which an operation for Python, printing or strings is
missing as well. The program (StableHLO) that XLA makes of the step, which is what a TPU's compiler
takes, must hold no custom call, infeed, outfeed or host transfer, no float64 and no dynamic
dimension. `python -m tests.conformance._tpu_compiler` compiles these programs with the compiler of
the TPUs itself (package libtpu), which needs no TPU either.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, weights_of
from tests._representatives import REPRESENTATIVES
from tests.conformance import _xla_steps as steps
from tests.training._runs import metric_lines, tiny_config, train
from tf_sigma_vae.models.vae import VAE
from tf_sigma_vae.training import compiled_model

REORDERED = 1e-4
"""Of the largest element: XLA fuses and reorders float32 sums over some hundred elements, and has
its own exp, log and lgamma, each within some units of the last place (6e-8)."""
ROUNDED = 3e-7
"""Of the largest element: a sum stored as float32 is rounded by 6e-8 of it, once each step."""
# Of a mean of values as if they were independent: at most pairs, the channels of a pixel, are not,
# which makes the standard error too small by a factor of at most sqrt(2).
STANDARD_ERRORS = 8.0
BY_DEFAULT = {"gaussian_optimal"}  # All take minutes.
# Axes that a gradient is summed over: known when the step is compiled, for the shapes are.
UNKNOWN_TO_TENSORFLOW = {"BroadcastGradientArgs"}
TYPES = {"f32", "i1", "i32", "ui32", "i64"}  # Integers: the noise, and the count of the steps.
STRUCTURE_OF_A_PROGRAM = {"mhlo.copy"}  # An identity, noted beside returned variables.
# Of the function that `fit` calls: it feeds the step, on the host also where there is a TPU.
DATA_FEED = {"IteratorGetNext", "OptionalFromValue", "OptionalGetValue", "OptionalHasValue"}


def assert_close(given, wanted, what, start=0.0):
    """Compares arrays, or how they changed since the start, relative to the largest element."""
    given, wanted = np.asarray(given, np.float64), np.asarray(wanted, np.float64)
    assert np.all(np.isfinite(wanted)), what
    tolerance = REORDERED * np.max(np.abs(wanted - start)) + ROUNDED * np.max(np.abs(wanted))
    np.testing.assert_allclose(given, wanted, rtol=0, atol=tolerance, err_msg=what)


def variants():
    """All, those not tried by default marked slow."""
    return [
        pytest.param(v, id=v.label, marks=() if v.label in BY_DEFAULT else pytest.mark.slow)
        for v in steps.VARIANTS
    ]


@pytest.fixture(scope="module", params=variants())
def step(request):
    """The training step with the checks of values that `compile(jit_compile=True)` leaves out."""
    return steps.Step(steps.compiled_vae(request.param, jit_compile=False, steepest=True))


def test_two_steps_give_the_same_losses_metrics_and_weights(step, request):
    plain = steps.compiled_vae(request.node.callspec.params["step"], False, steepest=True)
    plain_step, start = tf.function(plain.train_step), weights_of(plain)
    for seed in (1, 2):
        x = images(steps.BATCH, plain.image_shape, seed)
        given, wanted = step(x), plain_step(tf.constant(x))
        assert {"loss", "elbo", "rate", "distortion"} <= given.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_close(given[name], value, name)
    weights = zip(step.model.weights, weights_of(plain), start, strict=True)
    for weight, value, initial in weights:
        assert_close(weight.numpy(), value, weight.path, initial)
    # Not whether weights moved: a step may be less than the last bit of its weight. The optimizer
    # holds its steps, each in its own precision.
    for each in (step.model, plain):
        steps_taken = zip(each.trainable_weights, each.optimizer.momentums, strict=True)
        assert [weight.path for weight, taken in steps_taken if not np.any(taken)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REPRESENTATIVES, "gaussian_inverse_gamma", "student_t"])
def test_evaluating_decoding_and_importance_weights_are_the_same(name):
    model = steps.compiled_vae(steps.Variant(name), jit_compile=False, steepest=True)
    model.calibrate(images(8, model.image_shape, seed=5))
    x = images(steps.BATCH, model.image_shape, seed=3)
    z = np.random.default_rng(0).normal(size=(2, model.latent_size)).astype(np.float32)

    def read(x, z):
        likelihood = model.decode(z)
        same = {
            "mean": likelihood.mean(),
            "log_importance_weights": model.log_importance_weights(x, 2),
            **model.test_step(x),
        }
        return same, likelihood.sample(seed=[1, 2])

    wanted, _ = read(x, z)
    model.reset_metrics()
    compiled = tf.function(read, jit_compile=True)
    given, sample = compiled(x, z)
    assert {"loss", "elbo", "mean"} <= given.keys()
    for name, value in given.items():
        assert_close(value, wanted[name], name)
    # TensorFlow draws other numbers under XLA: the same each time, and around the same mean.
    np.testing.assert_array_equal(compiled(x, z)[1], sample)
    deviations = np.ravel(sample - wanted["mean"])
    standard_error = np.std(deviations) / np.sqrt(len(deviations))
    assert abs(np.mean(deviations)) < STANDARD_ERRORS * standard_error


def test_every_operation_of_a_step_has_a_kernel(step):
    assert {"AssignVariableOp", "Assert", "CheckNumerics"} <= {node.op for node in step.nodes}
    assert steps.without_kernel(step.nodes) == set()


def test_shapes_of_a_step_are_static(step):
    assert steps.of_unknown_shape(step.nodes) <= UNKNOWN_TO_TENSORFLOW
    assert steps.is_static(step.stablehlo)


def test_the_program_of_a_step_stays_on_the_device_and_has_no_float64(step):
    operations = steps.stablehlo_operations(step.stablehlo)
    assert operations["stablehlo.multiply"] > 0
    leaving = {"custom_call", "infeed", "outfeed", "send", "recv"}
    assert not leaving & {name.split(".")[1] for name in operations}
    others = {name for name in operations if not name.startswith("stablehlo.")}
    assert others <= STRUCTURE_OF_A_PROGRAM
    # The checks have no program: with them a branch is left that does nothing.
    assert not any("numerics" in name or "assert" in name for name in operations)
    assert steps.stablehlo_types(step.stablehlo) == TYPES


@pytest.mark.slow
def test_adam_clipping_averages_and_bfloat16_fit_a_tpu_too():
    variant = steps.Variant("gaussian_optimal", network="conv28")
    step = steps.Step(steps.compiled_vae(variant, jit_compile=False, dtype="mixed_bfloat16"))
    assert steps.without_kernel(step.nodes) == set()
    assert steps.of_unknown_shape(step.nodes) <= UNKNOWN_TO_TENSORFLOW
    assert steps.is_static(step.stablehlo)
    assert steps.stablehlo_types(step.stablehlo) == {*TYPES, "bf16"}


@pytest.mark.parametrize(
    "body",
    [
        lambda x: tf.numpy_function(np.abs, [x], tf.float32),
        lambda x: [tf.print(x), x][1],
        lambda x: tf.strings.as_string(x),
    ],
    ids=["python", "print", "string"],
)
def test_an_operation_of_the_host_has_no_kernel(body):
    graph = tf.function(body).get_concrete_function(tf.TensorSpec([2])).graph
    assert steps.without_kernel(steps.nodes(graph)) != set()


def test_dynamic_shapes_and_float64_are_found():
    @tf.function(jit_compile=True)
    def positive(x):
        return tf.boolean_mask(tf.cast(x, tf.float64), x > 0.0)

    spec = tf.TensorSpec([7])
    graph = positive.get_concrete_function(spec).graph
    assert "Where" in steps.of_unknown_shape(steps.nodes(graph))
    program = positive.experimental_get_compiler_ir(spec)(stage="stablehlo")
    assert not steps.is_static(program)
    assert "f64" in steps.stablehlo_types(program)


def test_a_model_compiled_by_xla_checks_no_values():
    nodes = steps.Step(steps.compiled_vae(steps.Variant("categorical"), jit_compile=True)).nodes
    assert not {"Assert", "CheckNumerics", "If"} & {node.op for node in nodes}


def _traced_by(run, monkeypatch):
    """The nodes of the function, with all within it, in which `fit` calls the training step."""
    compute_loss, graphs = VAE.compute_loss, []

    def noted(self, *args, training=True, **kwargs):
        if training:
            graphs.append(tf.compat.v1.get_default_graph())
        return compute_loss(self, *args, training=training, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "compute_loss", noted)
        run()
    outermost = graphs[-1]
    while hasattr(outermost.outer_graph, "outer_graph"):
        outermost = outermost.outer_graph
    return steps.nodes(outermost)


@pytest.mark.slow
def test_the_callbacks_of_a_training_put_nothing_in_its_graph(tmp_path, monkeypatch):
    config = tiny_config(tensorboard=True, select="best", ema_momentum=0.9, num_epochs=1)
    loop = _traced_by(lambda: train(config, tmp_path), monkeypatch)
    model = compiled_model(config, (4, 4, 1), num_steps=7)
    batches = tf.data.Dataset.from_tensor_slices(images(54, (4, 4, 1))).batch(8)
    bare = _traced_by(lambda: model.fit(batches, shuffle=False, verbose=0), monkeypatch)
    assert {node.op for node in loop} == {node.op for node in bare}
    assert {entry.split()[0] for entry in steps.without_kernel(loop)} <= DATA_FEED


@pytest.mark.slow
def test_a_training_with_a_partial_last_batch_is_the_same(tmp_path):
    results = []
    for jit_compile in (False, True):
        config = tiny_config(num_epochs=1, optimizer="sgd", jit_compile=jit_compile)
        workdir = tmp_path / str(jit_compile)
        model = train(config, workdir)
        assert model.jit_compile == jit_compile
        results.append((weights_of(model), metric_lines(workdir)))
    (plain, lines), (compiled, compiled_lines) = results
    for weight, value, wanted in zip(model.weights, compiled, plain, strict=True):
        assert_close(value, wanted, weight.path)
    assert [line["split"] for line in lines].count("validation") == 1
    for line, compiled_line in zip(lines, compiled_lines, strict=True):
        for name in line.keys() - {"split"}:
            assert_close(compiled_line[name], line[name], name)
