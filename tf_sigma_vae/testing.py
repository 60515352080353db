"""Checks for plug-ins of one's own, as scikit-learn has `check_estimator`."""

import inspect

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import plugins
from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS
from tf_sigma_vae.likelihoods import Likelihood

BATCH = 3
SHAPES = ((4, 6, 1), (5, 3, 3))
"""Images, of distinct sizes."""
NORMALISED = 1e-5
"""Masses are sums over 256 levels of numbers that come from float32 parameters."""
FLOAT32 = 1e-5


def check_likelihood(likelihood: str | type[Likelihood]) -> None:
    """Checks what models, evaluation, exports and files ask of a likelihood.

    Args:
      likelihood: The class, whose options have defaults; or the name of a plug-in.

    Raises:
      AssertionError: Naming what does not hold, with the values.
    """
    cls = plugins.find("likelihoods", likelihood) if isinstance(likelihood, str) else likelihood
    derives = inspect.isclass(cls) and issubclass(cls, Likelihood)
    _require(derives, f"{cls} must derive from tf_sigma_vae.likelihoods.Likelihood")
    _require(cls.measure in ("density", "mass", None), f"measure is {cls.measure!r}")
    _require(cls.scale_per in ("image", "channel", "element"), f"scale_per is {cls.scale_per!r}")
    for shape in SHAPES:
        _check_shapes(_ready(cls, shape), shape)
        _check_evaluation(_ready(cls, shape), shape)
        _check_gradient(_ready(cls, shape), shape)
    _check_masses(_ready(cls, (1, 1, 1)))
    _check_config(_ready(cls, SHAPES[0]), SHAPES[0])


def _require(condition: object, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(message)


def _ready(cls: type[Likelihood], shape: tuple[int, ...]) -> Likelihood:
    """An instance with its weights, and a scale where that is a statistic of the data."""
    made = cls()
    channels = made.params_channels(shape[-1])
    is_count = type(channels) is int and channels >= 1
    _require(
        is_count, f"params_channels({shape[-1]}) must be a whole number from 1, got {channels!r}"
    )
    made.ensure_built((None, *shape[:-1], channels))
    if made.needs_calibration:
        errors = np.random.default_rng(3).gamma(4.0, 0.02, size=50) * np.prod(shape)
        made.calibrate(errors, int(np.prod(shape)), 0)
    return made


def _batch(likelihood: Likelihood, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Parameters as a decoder might give them, and 8-bit images."""
    rng = np.random.default_rng(0)
    channels = likelihood.params_channels(shape[-1])
    params = rng.normal(size=(BATCH, *shape[:-1], channels)).astype(np.float32)
    x = rng.integers(0, GREY_LEVELS, size=(BATCH, *shape)) / (GREY_LEVELS - 1)
    return params, x.astype(np.float32)


def _check_shapes(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    params, x = _batch(likelihood, shape)
    found = likelihood.distribution(params)
    for each in (likelihood.distribution(params, x, True), found):
        _require(isinstance(each, tfd.Distribution), f"distribution() gave a {type(each)}")
        shapes = tuple(each.batch_shape), tuple(each.event_shape)
        wanted = (BATCH,), shape
        _require(shapes == wanted, f"batch and event shape must be {wanted}, got {shapes}")
        log_prob = each.log_prob(x)
        _require(
            log_prob.shape == (BATCH,), f"log_prob must have shape {(BATCH,)}: {log_prob.shape}"
        )
        _require(log_prob.dtype == tf.float32, f"log_prob must be float32, got {log_prob.dtype}")
        _require(np.all(np.isfinite(log_prob)), f"log_prob is not finite: {log_prob}")
    for name, value in (("mean()", found.mean()), ("sample()", found.sample(seed=[1, 2]))):
        _require(value.shape == x.shape, f"{name} must have shape {x.shape}, got {value.shape}")
        _require(np.all(np.isfinite(value)), f"{name} is not finite")
    again = found.sample(seed=[1, 2])
    _require(np.array_equal(found.sample(seed=[1, 2]), again), "the same seed gave another sample")
    log_scale = likelihood.log_scale(found)
    says = f"has_scale is {likelihood.has_scale}, log_scale() gave {log_scale}"
    _require((log_scale is not None) == likelihood.has_scale, says)
    half = likelihood.distribution(tf.cast(params, tf.bfloat16)).log_prob(x)
    _require(half.dtype == tf.float32, f"bfloat16 parameters must give float32, got {half.dtype}")
    for name, value in likelihood.parameters(found).items():
        _require(
            tuple(value.shape[:1]) == (BATCH,), f"parameters(): {name} must have the batch first"
        )


def _check_evaluation(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    """Outside of training p(x|z) is a function of the parameters alone, row by row, in a graph."""
    params, x = _batch(likelihood, shape)
    expected = likelihood.distribution(params).log_prob(x)
    for other in (1.0 - x, np.full((1, 1), np.nan, np.float32)):
        found = likelihood.distribution(params, other).log_prob(x)
        _require(np.allclose(found, expected, FLOAT32), "evaluation must not read the images")
    specs = [tf.TensorSpec([None, *a.shape[1:]]) for a in (params, x)]
    scored = tf.function(
        lambda params, x: likelihood.distribution(params).log_prob(x), input_signature=specs
    )
    for num in (1, BATCH):
        found = scored(params[:num], x[:num])
        message = f"{num} rows in a graph gave {found}, {BATCH} eagerly {expected}"
        _require(np.allclose(found, expected[:num], FLOAT32, FLOAT32), message)


def _check_gradient(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    params, x = _batch(likelihood, shape)
    params = tf.constant(params)
    with tf.GradientTape() as tape:
        tape.watch(params)
        loss = -tf.reduce_sum(likelihood.distribution(params, x, True).log_prob(x))
    gradients = tape.gradient(loss, [params, *likelihood.trainable_variables])
    for gradient in gradients:
        _require(gradient is not None, "a parameter or weight has no gradient")
        _require(np.all(np.isfinite(gradient)), "a gradient is not finite")


def _check_masses(likelihood: Likelihood) -> None:
    """The masses of the 256 levels of one pixel sum to 1."""
    levels = (np.arange(GREY_LEVELS) / (GREY_LEVELS - 1)).astype(np.float32).reshape(-1, 1, 1, 1)
    params, _ = _batch(likelihood, (1, 1, 1))
    for row in params:
        tiled = np.tile(row, (GREY_LEVELS, 1, 1, 1))
        masses = np.exp(likelihood.bin_log_mass(likelihood.distribution(tiled), levels))
        total = float(np.sum(masses))
        _require(abs(total - 1.0) < NORMALISED, f"the masses of the 256 levels sum to {total}")


def _check_config(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    """A likelihood that is written and read back is the same."""
    saved = keras.saving.serialize_keras_object(likelihood)
    registered = saved["registered_name"]
    message = f"register the class by @keras.saving.register_keras_serializable: {registered!r}"
    _require(registered and ">" in registered, message)
    restored = keras.saving.deserialize_keras_object(saved)
    before, after = likelihood.get_config(), restored.get_config()
    _require(after == before, f"get_config() was {before}, and read back {after}")
    missing = set(plugins.options(type(likelihood))) - set(before)
    _require(not missing, f"get_config() leaves out {sorted(missing)}")
    params, x = _batch(likelihood, shape)
    restored.ensure_built(params.shape)
    restored.set_weights(likelihood.get_weights())
    one, two = (each.distribution(params).log_prob(x) for each in (likelihood, restored))
    _require(np.allclose(one, two, FLOAT32), f"log_prob was {one}, and read back {two}")
