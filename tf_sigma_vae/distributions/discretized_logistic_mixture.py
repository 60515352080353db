"""Mixture of discretized logistics over the 8-bit values of one pixel, its channels coupled.

A component is chosen for the whole pixel; within it, channel `c` is a logistic whose location is
shifted by the channels before it, rounded to the grey levels `k / 255`:

    P(x) = sum_i pi_i prod_c [F((k_c + 1/2) / 255) - F((k_c - 1/2) / 255)],   F logistic CDF,
    location_ic = loc_ic + sum_{c' < c} coefficient_icc' (x_c' - 1/2).

The bins are centered on the grey levels; the first and the last reach to infinity, so that the 256
masses sum to one.

The source has data `2 x - 1` in [-1, 1] and couples those: centered on the middle of the range as
here, so that its coefficients, which have no unit, are these.

Source: Salimans et al. 2017 (PixelCNN++), Sec. 2.1 and 2.2.
"""

from collections.abc import Iterator, Sequence

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae.distributions import _categorical, _discretized_logistic
from tf_sigma_vae.distributions._discretized_logistic import LAST_LEVEL
from tf_sigma_vae.distributions._grey_levels import GreyLevelDistribution
from tf_sigma_vae.distributions.bin_mass import in_float64
from tf_sigma_vae.distributions.grey_level_cdf import LevelCdf, with_ends


class DiscretizedLogisticMixture(GreyLevelDistribution):
    """`K` components over a pixel of `C` channels; values `x = k / 255`, event shape `[C]`.

    The mode has no closed form and is not implemented.
    """

    def __init__(
        self,
        logits: TensorLike,
        loc: TensorLike,
        log_scale: TensorLike,
        coefficients: TensorLike | None = None,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "DiscretizedLogisticMixture",
    ) -> None:
        """Builds the distribution.

        Args:
          logits: `[B..., K]`, unnormalized log-probabilities of the components.
          loc: `[B..., C, K]`, locations in the unit of the data, where 0 and 1 are black and white.
          log_scale: `[B..., C, K]`, log of the scales `s` of the logistics, in the same unit; their
            standard deviation is `s pi / sqrt(3)`.
          coefficients: `[B..., C (C - 1) / 2, K]`, of the pairs (1, 0), (2, 0), (2, 1), (3, 0) ...
            of a channel and one before it; None for channels that are independent in a component.
          validate_args: Whether to check that scored values are grey levels.
          allow_nan_stats: As in every `tfd.Distribution`.
          name: As in every `tfd.Distribution`.

        Raises:
          ValueError: If the last axes of the parameters do not fit.
        """
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._loc = tf.convert_to_tensor(loc)
            self._logits = tf.convert_to_tensor(logits, self._loc.dtype)
            self._log_scale = tf.convert_to_tensor(log_scale, self._loc.dtype)
            self._coefficients = None
            if coefficients is not None:
                self._coefficients = tf.convert_to_tensor(coefficients, self._loc.dtype)
            self._require_fitting_shapes()
            super().__init__(
                dtype=self._loc.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    def _require_fitting_shapes(self) -> None:
        num_components, shape = self._logits.shape[-1], self._loc.shape
        if shape.rank < 2 or None in (shape[-2], shape[-1]):
            raise ValueError(f"loc must have known last axes [C, K], got shape {tuple(shape)}")
        channels = shape[-2]
        expected = {"loc": (self._loc, channels), "log_scale": (self._log_scale, channels)}
        if self._coefficients is not None:
            expected["coefficients"] = (self._coefficients, channels * (channels - 1) // 2)
        for name, (value, size) in expected.items():
            if tuple(value.shape[-2:]) != (size, num_components):
                raise ValueError(
                    f"{name} must end in {(size, num_components)} for {num_components} components "
                    f"and {channels} channels, got shape {tuple(value.shape)}"
                )

    @classmethod
    def _parameter_properties(
        cls, dtype: tf.DType | None, num_classes: int | None = None
    ) -> dict[str, tfp.util.ParameterProperties]:
        """Declares which axes of each parameter belong to the event."""
        return dict(
            logits=tfp.util.ParameterProperties(event_ndims=1),
            loc=tfp.util.ParameterProperties(event_ndims=2),
            log_scale=tfp.util.ParameterProperties(event_ndims=2),
            coefficients=tfp.util.ParameterProperties(event_ndims=2),
        )

    @property
    def logits(self) -> tf.Tensor:
        """Unnormalized log-probabilities of the components, `[B..., K]`."""
        return self._logits

    @property
    def loc(self) -> tf.Tensor:
        """Locations before they are coupled, `[B..., C, K]`, in the unit of the data."""
        return self._loc

    @property
    def log_scale(self) -> tf.Tensor:
        """Log of the logistics' scales, `[B..., C, K]`."""
        return self._log_scale

    @property
    def coefficients(self) -> tf.Tensor | None:
        """Couplings of the channels, `[B..., C (C - 1) / 2, K]`, or None."""
        return self._coefficients

    def _event_shape(self) -> tf.TensorShape:
        return self._loc.shape[-2:-1]

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self._loc.shape[-2:-1].as_list(), tf.int32)

    def _by_channel(self) -> Iterator[tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]]:
        """Each channel's location and log-scale `[B..., K]`, and its coefficients."""
        locs, log_scales = tf.unstack(self._loc, axis=-2), tf.unstack(self._log_scale, axis=-2)
        pairs = []
        if self._coefficients is not None:
            pairs = tf.unstack(self._coefficients, axis=-2)
        for channel, (loc, log_scale) in enumerate(zip(locs, log_scales, strict=True)):
            first = channel * (channel - 1) // 2
            yield loc, log_scale, pairs[first : first + channel]

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        log_prob = tf.nn.log_softmax(self._logits)
        for level, loc, log_scale in self._given_earlier_channels(value):
            log_prob += _discretized_logistic.log_mass(level, loc, log_scale)
        # The logarithm of a sum of masses can round to above that of one.
        return tf.minimum(tf.reduce_logsumexp(log_prob, axis=-1), 0.0)

    def _given_earlier_channels(
        self, value: tf.Tensor
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Each channel's level `[B..., 1]`, coupled location and log-scale `[B..., K]`."""
        # Channel by channel: the largest temporary is [B..., K], and K is the innermost axis.
        levels = tf.clip_by_value(tf.round(value * LAST_LEVEL), 0.0, LAST_LEVEL)
        levels = tf.split(levels, self._loc.shape[-2], axis=-1)
        for level, (loc, log_scale, coefficients) in zip(levels, self._by_channel(), strict=True):
            loc = _coupled(loc, coefficients, [before / LAST_LEVEL for before in levels])
            yield level, loc, log_scale

    def grey_level_cdf(self, x: TensorLike) -> LevelCdf:
        """See `distributions.grey_level_cdf`; of each channel given the pixel's channels before it.

            P(K_c <= k) = sum_i w_ic F((k + 1/2) / 255),    w_ic ~ pi_i prod_{c' < c} P_i(k_c'),

        the components weighed by what they make of the channels before, their locations shifted.

        Args:
          x: `[B..., C]`.

        Returns:
          Function of the level, whose result has the shape of `x`.
        """
        return in_float64(self)._conditional_cdf(tf.cast(x, tf.float64))

    def _conditional_cdf(self, x: tf.Tensor) -> LevelCdf:
        log_weights, weights, locs, inverse_scales = self._logits, [], [], []
        for level, loc, log_scale in self._given_earlier_channels(x):
            weights.append(tf.nn.softmax(log_weights))
            locs.append(loc)
            inverse_scales.append(tf.exp(-log_scale))
            log_weights += _discretized_logistic.log_mass(level, loc, log_scale)
        weights, locs, inverse_scales = (
            tf.stack(by_channel, axis=-2) for by_channel in (weights, locs, inverse_scales)
        )

        def at(level: tf.Tensor) -> tf.Tensor:
            edge = (level[..., tf.newaxis] + 0.5) / LAST_LEVEL
            return tf.reduce_sum(weights * tf.sigmoid((edge - locs) * inverse_scales), axis=-1)

        return with_ends(at)

    def _sample_n(self, n: int | tf.Tensor, seed: TensorLike | None = None) -> tf.Tensor:
        component_seed, *noise_seeds = tfp.random.split_seed(seed, n=1 + self._loc.shape[-2])
        batch = self.batch_shape_tensor()
        num_components = self._logits.shape[-1]
        logits = tf.broadcast_to(self._logits, tf.concat([batch, [num_components]], axis=0))
        component = _categorical.sample(logits, n, component_seed)
        chosen = tf.one_hot(component, num_components, dtype=self.dtype)

        def of_component(parameter: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(chosen * parameter, axis=-1)

        x: list[tf.Tensor] = []
        for noise_seed, (loc, log_scale, coefficients) in zip(
            noise_seeds, self._by_channel(), strict=True
        ):
            coefficients = [of_component(coefficient) for coefficient in coefficients]
            loc = _coupled(of_component(loc), coefficients, x)
            noise = tfd.Logistic(tf.zeros([], self.dtype), 1.0).sample(
                tf.shape(loc), seed=noise_seed
            )
            continuous = loc + tf.exp(of_component(log_scale)) * noise
            # Rounded before it enters the next channel's location, as in the mass function.
            x.append(tf.round(tf.clip_by_value(continuous, 0.0, 1.0) * LAST_LEVEL) / LAST_LEVEL)
        return tf.stack(x, axis=-1)

    def _mean(self) -> tf.Tensor:
        """Mean of each channel, `[B..., C]`.

        Exact (to 1e-6 of a grey level) for the first channel, and for all without coefficients. A
        coupled channel's is that of a pixel whose channels before it are at their means of the
        component: exact as long as the channel's open tails hold no mass, for then its mean is
        linear in its location but for the rounding, and close otherwise. The exact one is a sum
        over `256^c` values.
        """
        means, _ = self._component_means()
        return self._mixed(means)

    def _variance(self) -> tf.Tensor:
        """Variance of each channel, `[B..., C]`.

        Exact (to a relative 1e-5) for the first channel, and for all without coefficients. In a
        component, a coupled channel is taken as `e_c + sum coefficient (x_c' - 1/2)` with the noise
        `e_c` that it has where the channels before are at their means: exact as its mean is, as
        long as the channel's open tails hold no mass and its scale is no less than a grey level,
        and at most `mean (1 - mean)`, the most that a component has in [0, 1].
        """
        means, locs = self._component_means()
        # The lower triangle of a component's covariances, row by row.
        rows: list[list[tf.Tensor]] = []
        for channel, (_, log_scale, coefficients) in enumerate(self._by_channel()):
            row = []
            for other in range(len(coefficients)):
                column = [rows[max(c, other)][min(c, other)] for c in range(channel)]
                row.append(_weighted_sum(coefficients, column))
            variance = _discretized_logistic.variance(locs[channel], log_scale)
            if coefficients:
                variance += _weighted_sum(coefficients, row)
                variance = tf.minimum(variance, means[channel] * (1.0 - means[channel]))
            rows.append([*row, variance])
        # From the first component's mean: where all are equal, nothing is left of weights whose sum
        # is rounded to below 1, as that of a single component is on some processors.
        offsets = [mean - mean[..., :1] for mean in means]
        overall = tf.unstack(self._mixed(offsets)[..., tf.newaxis], axis=-2)
        squares = [(offset - center) ** 2 for offset, center in zip(offsets, overall, strict=True)]
        return self._mixed([row[-1] + square for row, square in zip(rows, squares, strict=True)])

    def _component_means(self) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Each channel's mean in the components, `[B..., K]`, and its location at those before."""
        means: list[tf.Tensor] = []
        locs: list[tf.Tensor] = []
        for loc, log_scale, coefficients in self._by_channel():
            locs.append(_coupled(loc, coefficients, means))
            means.append(_discretized_logistic.mean(locs[-1], log_scale))
        return means, locs

    def _mixed(self, by_channel: Sequence[tf.Tensor]) -> tf.Tensor:
        """Mean over the components of values `[B..., K]` of each channel, `[B..., C]`."""
        weights, batch = tf.nn.softmax(self._logits), self.batch_shape_tensor()
        mixed = [tf.reduce_sum(weights * value, axis=-1) for value in by_channel]
        return tf.stack([tf.broadcast_to(value, batch) for value in mixed], axis=-1)


def _coupled(
    loc: tf.Tensor, coefficients: Sequence[tf.Tensor], before: Sequence[tf.Tensor]
) -> tf.Tensor:
    """The location, shifted by the channels before: there is a coefficient for each."""
    for coefficient, x in zip(coefficients, before, strict=False):
        loc += coefficient * (x - 0.5)
    return loc


def _weighted_sum(coefficients: Sequence[tf.Tensor], values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sum of the products of as many tensors."""
    return tf.add_n([c * value for c, value in zip(coefficients, values, strict=True)])
