"""Distributions of images as tensors by name, and back: what crosses a process or a network.

    family                     names
    Normal                     mean, scale
    StudentT                   mean, scale (the standard deviation), df
    MarginalGaussian           mean, scale (likewise), concentration, inverse_gamma_scale
    Bernoulli                  mean, logits
    GreyLevelCategorical       mean, level_logits
    GreyLevelBits              mean, bit_logits
    DiscretizedLogisticMixture mean, component_logits, loc, log_scale[, coefficients]

The batch is the first axis of every tensor, so that a batch can be cut and put together again. The
names tell the family: nothing else has to be known to rebuild the distribution.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tf_sigma_vae.distributions.grey_level_bits import GreyLevelBits
from tf_sigma_vae.distributions.grey_level_categorical import GreyLevelCategorical
from tf_sigma_vae.distributions.marginal_gaussian import MarginalGaussian
from tf_sigma_vae.distributions.student_t import StudentT

SCALE_PER = ("image", "channel", "element")


class _Family(NamedTuple):
    kind: type[tfd.Distribution]
    """Of the distribution, or of what a `tfd.Independent` holds."""
    names: frozenset[str]
    read: Callable[[tfd.Distribution], dict[str, tf.Tensor]]
    """The tensors beside the mean, given the distribution of that kind."""
    make: Callable[[dict[str, tf.Tensor]], tfd.Distribution]
    """The distribution with batch shape `[B]`."""
    optional: frozenset[str] = frozenset()


def to_parameters(
    distribution: tfd.Distribution, scale_per: str = "element"
) -> dict[str, tf.Tensor]:
    """The tensors that determine a distribution, by name.

    Args:
      distribution: Of images, batch shape `[B]`, event shape `[H, W, C]`; of one of the families.
      scale_per: `"image"` if the scale is the same for all elements of an image, `"channel"` if it
        differs by channel only: it is then given once, `[B]` or `[B, C]`, not for every element.

    Returns:
      Dictionary of float32 tensors, the batch first.

    Raises:
      TypeError: If the distribution is of another family.
      ValueError: If `scale_per` is none of `SCALE_PER`.
    """
    if scale_per not in SCALE_PER:
        raise ValueError(f"scale_per must be one of {SCALE_PER}, got {scale_per!r}")
    # Not by the class of the outer one: TFP makes several of `Independent`.
    is_wrapped = hasattr(distribution, "reinterpreted_batch_ndims")
    inner = distribution.distribution if is_wrapped else distribution
    for family in _FAMILIES:
        if isinstance(inner, family.kind):
            parameters = {"mean": distribution.mean(), **family.read(inner)}
            if "scale" in parameters:
                parameters["scale"] = _once(parameters["scale"], scale_per)
            return parameters
    known = ", ".join(family.kind.__name__ for family in _FAMILIES)
    raise TypeError(f"no named parameters for {type(inner).__name__}; known: {known}")


def from_parameters(parameters: Mapping[str, TensorLike]) -> tfd.Distribution:
    """The distribution of tensors by name, the inverse of `to_parameters`.

    Args:
      parameters: Dictionary of arrays or tensors, float32, the batch first.

    Returns:
      Distribution, batch shape `[B]`, event shape `[H, W, C]`.

    Raises:
      ValueError: If the names are of no family.
    """
    names = set(parameters)
    for family in _FAMILIES:
        if family.names <= names <= family.names | family.optional:
            values = {name: tf.convert_to_tensor(value) for name, value in parameters.items()}
            return family.make(values)
    known = "; ".join(", ".join(sorted(f.names | f.optional)) for f in _FAMILIES)
    raise ValueError(f"no distribution has the parameters {sorted(names)}; known sets: {known}")


def _once(scale: tf.Tensor, scale_per: str) -> tf.Tensor:
    """`[B, ..., C]` as `[B]`, `[B, C]` or as it is."""
    if scale_per == "element":
        return scale
    # A slice and a reshape, not an index: an empty batch has no first element.
    per_channel = tf.reshape(scale, [tf.shape(scale)[0], -1, scale.shape[-1]])[:, 0]
    return per_channel if scale_per == "channel" else per_channel[:, 0]


def _for_elements(scale: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """The inverse of `_once`, of the shape of the mean."""
    if scale.shape.rank != mean.shape.rank:
        sizes = [tf.shape(mean)[0]] + [1] * (mean.shape.rank - 1)
        if scale.shape.rank == 2:
            sizes[-1] = mean.shape[-1]
        scale = tf.reshape(scale, sizes)
    return tf.broadcast_to(scale, tf.shape(mean))


def _independent(marginal: tfd.Distribution) -> tfd.Independent:
    return tfd.Independent(marginal, reinterpreted_batch_ndims=marginal.batch_shape.rank - 1)


def _normal(p: dict[str, tf.Tensor]) -> tfd.Distribution:
    return _independent(tfd.Normal(p["mean"], _for_elements(p["scale"], p["mean"])))


def _student_t(p: dict[str, tf.Tensor]) -> tfd.Distribution:
    # The standard deviation is s sqrt(df / (df - 2)).
    scale = _for_elements(p["scale"], p["mean"]) * tf.sqrt((p["df"] - 2.0) / p["df"])
    return _independent(StudentT(p["df"], p["mean"], scale))


def _read_marginal(d: MarginalGaussian) -> dict[str, tf.Tensor]:
    batch = d.batch_shape_tensor()
    return {
        "scale": d.stddev(),
        "concentration": tf.broadcast_to(d.concentration, batch),
        "inverse_gamma_scale": tf.broadcast_to(d.scale, batch),
    }


def _marginal(p: dict[str, tf.Tensor]) -> tfd.Distribution:
    num_event_axes = p["mean"].shape.rank - 1
    return MarginalGaussian(p["mean"], p["concentration"], p["inverse_gamma_scale"], num_event_axes)


def _read_mixture(d: DiscretizedLogisticMixture) -> dict[str, tf.Tensor]:
    found = {"component_logits": d.logits, "loc": d.loc, "log_scale": d.log_scale}
    return found if d.coefficients is None else {**found, "coefficients": d.coefficients}


def _mixture(p: dict[str, tf.Tensor]) -> tfd.Distribution:
    pixels = DiscretizedLogisticMixture(
        p["component_logits"], p["loc"], p["log_scale"], p.get("coefficients")
    )
    return _independent(pixels)


# The first that fits counts: a kind stands before those that it is derived from.
_FAMILIES = (
    _Family(
        MarginalGaussian,
        frozenset({"mean", "scale", "concentration", "inverse_gamma_scale"}),
        _read_marginal,
        _marginal,
    ),
    _Family(
        StudentT,
        frozenset({"mean", "scale", "df"}),
        lambda d: {"scale": d.stddev(), "df": d.df},
        _student_t,
    ),
    _Family(
        tfd.Normal,
        frozenset({"mean", "scale"}),
        lambda d: {"scale": d.stddev()},
        _normal,
    ),
    _Family(
        tfd.Bernoulli,
        frozenset({"mean", "logits"}),
        lambda d: {"logits": d.logits},
        lambda p: _independent(tfd.Bernoulli(p["logits"], dtype=tf.float32)),
    ),
    _Family(
        GreyLevelCategorical,
        frozenset({"mean", "level_logits"}),
        lambda d: {"level_logits": d.logits},
        lambda p: _independent(GreyLevelCategorical(p["level_logits"])),
    ),
    _Family(
        GreyLevelBits,
        frozenset({"mean", "bit_logits"}),
        lambda d: {"bit_logits": d.logits},
        lambda p: _independent(GreyLevelBits(p["bit_logits"])),
    ),
    _Family(
        DiscretizedLogisticMixture,
        frozenset({"mean", "component_logits", "loc", "log_scale"}),
        _read_mixture,
        _mixture,
        optional=frozenset({"coefficients"}),
    ),
)
