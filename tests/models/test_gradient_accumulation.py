"""A step whose batch is computed in parts is the step of the whole batch."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae, weights_of
from tf_sigma_vae import likelihoods, models
from tf_sigma_vae.training import optimizer as optimizers

REORDERED = 5e-6
"""Relative: float32 sums over the examples in another order; measured up to 6e-7."""
NATS = 2e-5
"""The same, absolute: metrics are sums of 48 terms of either sign."""
BFLOAT16 = 2.0**-7
"""Relative to a weight's largest update: each part's gradient is rounded to 8 bits of mantissa."""
BATCH, NUM_EXAMPLES = 7, 11
"""Batches of 7 and 4: no number of parts above 1 divides both."""
MODELS = {
    # Statistics of the batch in every step: the scale, and the mean rates.
    "gaussian_optimal": lambda **options: tiny_vae("gaussian_optimal", free_bits=0.6, **options),
    # In the first step alone. All other likelihoods ask for nothing.
    "gaussian_shared from data": lambda **options: tiny_vae(
        likelihoods.GaussianShared(initial_scale="data"), **options
    ),
}
"""One of each way to ask for what only the whole batch tells."""


def examples():
    """Images of unlike difficulty, so that the statistics of a part alone would show."""
    x = images(NUM_EXAMPLES)
    x[::3] = np.round(127 + 5 * (x[::3] - 0.5)) / 255
    return x


def trained(num_parts, name="gaussian_optimal", optimizer=None, batch=BATCH, **options):
    """A model after two steps, and the values that `fit` reported."""
    compiled = {key: options.pop(key) for key in ("jit_compile", "run_eagerly") if key in options}
    model = set_weights(MODELS[name](gradient_accumulation_steps=num_parts, **options))
    # Plain gradient descent: the updated weights show the gradient.
    model.compile(optimizer or keras.optimizers.SGD(1e-3), **compiled)
    dataset = tf.data.Dataset.from_tensor_slices(examples()).batch(batch)
    return model, model.fit(dataset, shuffle=False, verbose=0).history


@functools.cache
def whole(name="gaussian_optimal"):
    """What `trained` gives without parts, eagerly: what all others are compared with."""
    return trained(1, name, run_eagerly=True)


def require_same(whole, parts, tolerance=REORDERED):
    """Compares all weights, stored statistics among them, and all metrics."""
    (model, history), (other, other_history) = whole, parts
    assert history.keys() == other_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(other_history[name], values, tolerance, NATS, err_msg=name)
    for weight, value, other_value in zip(
        model.weights, weights_of(model), weights_of(other), strict=True
    ):
        np.testing.assert_allclose(other_value, value, tolerance, 1e-6, err_msg=weight.path)


@pytest.fixture(scope="module")
def compiled():
    """A model after two steps in three parts, as a graph for batches of any size."""
    return trained(3)


@pytest.mark.parametrize("name", MODELS)
def test_parts_of_unlike_size_make_the_step_of_the_whole_batch(name):
    parts = trained(3, name, run_eagerly=True)
    require_same(whole(name), parts)
    start = set_weights(MODELS[name]())
    trainable = zip(start.trainable_weights, parts[0].trainable_weights, strict=True)
    assert not any(np.array_equal(before, after) for before, after in trainable)


@pytest.mark.slow
def test_compiled_steps_are_the_same(compiled):
    require_same(whole(), compiled)


@pytest.mark.slow
def test_compiled_first_step_alone_looks_at_the_data_twice():
    name = "gaussian_shared from data"
    require_same(whole(name), trained(3, name))


@pytest.mark.slow
def test_batch_of_known_size_is_divided_too():
    model, x = set_weights(tiny_vae("gaussian_optimal")), examples()
    model.compile(keras.optimizers.SGD(1e-3))
    other = set_weights(tiny_vae("gaussian_optimal", gradient_accumulation_steps=2))
    other.compile(keras.optimizers.SGD(1e-3))
    histories = [
        {k: [v] for k, v in m.train_on_batch(x[:6], return_dict=True).items()}
        for m in (model, other)
    ]
    require_same((model, histories[0]), (other, histories[1]))


def test_clipping_moving_averages_and_adam_see_one_update_a_step():
    def adam():
        # An epsilon that no rounding of a small gradient gets past.
        return optimizers.Adam(
            optimizers.WarmUp(1e-2, 3, 4), epsilon=1e-2, clip_norm=2.0, use_ema=True
        )

    one, parts = (trained(k, optimizer=adam(), run_eagerly=True) for k in (1, 3))
    require_same(one, parts, 1e-4)
    states = [model.optimizer.variables for model, _ in (one, parts)]
    assert int(states[1][0].numpy()) == 2
    for variable, other in zip(*states, strict=True):
        np.testing.assert_allclose(other, variable, 1e-4, 1e-5, err_msg=variable.path)


@pytest.mark.parametrize(
    "policy", [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"]
)
def test_mixed_precision_rounds_each_part_and_no_more(policy):
    def optimizer():
        plain = keras.optimizers.SGD(1e-3)
        # The usual start of the loss scale skips the first steps: one more or less for the parts.
        scaled = keras.optimizers.LossScaleOptimizer(plain, initial_scale=2.0)
        return scaled if policy == "mixed_float16" else plain

    start = set_weights(MODELS["gaussian_optimal"]())
    (one, history), (parts, other) = (
        trained(k, optimizer=optimizer(), batch=NUM_EXAMPLES, dtype=policy, run_eagerly=True)
        for k in (1, 3)
    )
    for name in ("loss", "distortion", "rate", "log_scale"):
        np.testing.assert_allclose(other[name], history[name], rtol=BFLOAT16, err_msg=name)
    trainable = (model.trainable_weights for model in (start, one, parts))
    for weights in zip(*trainable, strict=True):
        before, updated, same = (w.numpy() for w in weights)
        update = np.max(np.abs(updated - before))
        assert 0 < update and np.max(np.abs(same - updated)) <= BFLOAT16 * update


@pytest.mark.slow
def test_compiled_by_xla_the_parts_make_the_same_step():
    one = trained(1, batch=NUM_EXAMPLES, run_eagerly=True)
    # XLA fuses and reorders sums.
    require_same(one, trained(3, batch=NUM_EXAMPLES, jit_compile=True), 1e-4)


@pytest.mark.slow
def test_several_steps_an_execution_are_each_computed_in_parts():
    parts = set_weights(MODELS["gaussian_optimal"](gradient_accumulation_steps=3))
    parts.compile(keras.optimizers.SGD(1e-3), steps_per_execution=2)
    dataset = tf.data.Dataset.from_tensor_slices(examples()).batch(BATCH)
    require_same(whole(), (parts, parts.fit(dataset, shuffle=False, verbose=0).history))


@pytest.mark.parametrize(
    ("value", "message"), [(1.5, "images must lie in"), (np.nan, "images must|non-finite")]
)
def test_bad_value_in_the_last_part_stops_the_step(value, message, compiled):
    model, x = compiled[0], examples()
    x[-1, 0, 0, 0] = value
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(NUM_EXAMPLES)
    before = model.get_weights()
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        model.fit(dataset, shuffle=False, verbose=0)
    # Other tests look at the model too.
    model.set_weights(before)


def counted_passes(likelihood, num_steps, num_parts=2):
    """How often the decoder is called in each eager step."""
    model = tiny_vae(likelihood, gradient_accumulation_steps=num_parts)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    calls, original = [0] * num_steps, model.decoder.call

    def call(*args, **kwargs):
        calls[int(model.optimizer.iterations)] += 1
        return original(*args, **kwargs)

    model.decoder.call = call
    for _ in range(num_steps):
        model.train_on_batch(images(6))
    return calls


def test_only_a_scale_of_the_whole_batch_costs_a_second_forward_pass():
    # The first part tells that there is nothing to collect; in a graph it is not even computed.
    assert counted_passes("gaussian_shared", 1) == [3]
    assert counted_passes(likelihoods.GaussianShared(initial_scale="data"), 2) == [4, 3]


@pytest.mark.parametrize("value", [0, -2, 1.5, "2", True, None])
def test_number_of_parts_must_be_a_whole_number_from_one(value):
    with pytest.raises(ValueError, match="gradient_accumulation_steps must be a whole number"):
        tiny_vae(gradient_accumulation_steps=value)
    with pytest.raises(ValueError, match="gradient_accumulation_steps must be a whole number"):
        models.WithLikelihood(keras.layers.Dense(1), gradient_accumulation_steps=value)


def test_number_of_parts_is_kept_by_the_configuration():
    model = tiny_vae(gradient_accumulation_steps=4)
    assert models.VAE.from_config(model.get_config()).gradient_accumulation_steps == 4
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    other = models.WithLikelihood(network, gradient_accumulation_steps=3)
    restored = models.WithLikelihood.from_config(other.get_config())
    assert restored.gradient_accumulation_steps == 3


def test_optimizer_that_accumulates_is_refused_where_the_objective_is_of_the_whole_batch():
    for options in ({"likelihood": "gaussian_optimal"}, {"free_bits": 0.1}):
        model = tiny_vae(**options)
        with pytest.raises(ValueError, match="give the model gradient_accumulation_steps=4"):
            model.compile(keras.optimizers.SGD(gradient_accumulation_steps=4))
    wrapped = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(gradient_accumulation_steps=4)
    )
    with pytest.raises(ValueError, match="gradient_accumulation_steps=4"):
        tiny_vae("gaussian_optimal").compile(wrapped)


def test_optimizer_that_accumulates_is_taken_where_batches_add_up():
    model = tiny_vae("gaussian_shared")
    optimizer = keras.optimizers.SGD(1e-3, gradient_accumulation_steps=2)
    model.compile(optimizer, run_eagerly=True)
    before = weights_of(model)
    model.train_on_batch(images(4))
    assert all(np.array_equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    model.train_on_batch(images(4))
    assert not any(np.array_equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
