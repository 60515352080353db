"""`hierarchical_vae`: latents in levels, each of which depends on those above it.

    elbo = E_q[log p(x|z)] - sum_i rate_i,    p(z) = prod_i p(z_i | z_<i),    p(z_0) = N(0, I)

with one draw of all levels, 0 at the top. All conditionals are diagonal Gaussians. On the way down

    q(z | x) = prod_i q(z_i | z_<i, x),    rate_i = KL(q(z_i | z_<i, x) || p(z_i | z_<i)),

in closed form for the drawn `z_<i`. A network can also infer parts `b_i` of the latents on the way
up, `q(b_i | b_>i, x)`, before what is above them is drawn. The prior of `b_i` is `p(b_i | z_<i)`,
and those `z_<i` depend on `b_i`: there the closed form would be that of another quantity, and
`rate_i` holds `log q(b_i | b_>i, x) - log p(b_i | z_<i)` at the draw, which can be negative.

How q is made of the parameters that the network gives, `merge`:

* `"residual"`: `N(loc_p + scale_p * d_loc, scale_p * exp(d_log_scale))`, the parameters from the
  image and the state above (after Vahdat & Kautz 2020, Sec. 3.2, whose shift is not in units of
  `scale_p`: here the rate does not depend on the scale of p);
* `"precision"`: the product of p and of a Gaussian that is made of the image alone, weighted by
  their precisions (Sonderby et al. 2016, Eq. 8 and 9);
* `"concat"`: the parameters from the image and the state above, joined (as Child 2021, Sec. 3).

At the top, and for `b_i`, it is the network's Gaussian itself. Log-scales of p and of what the
network gives for q are bounded, `l = bound * tanh(raw / bound)`: smoothly, and nearly unchanged
where they are small. With one level this is `vae`, whose log-scales have no bound.

Source: Maaloe et al. 2019 (both ways of inference); Rybkin et al. 2021, Sec. 4.2 for its decoders.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.types.experimental import TensorLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import networks, noise
from tf_sigma_vae.likelihoods import Likelihood
from tf_sigma_vae.models._latent_variable_model import (
    Check,
    LatentVariableModel,
    require_temperature,
    unchecked,
)
from tf_sigma_vae.models._levels import Levels, check_options, copies
from tf_sigma_vae.models._output import Inference, Output
from tf_sigma_vae.models._own_objective import Tracker

_PRIOR_STREAM = 1
"""Of the draws from p below those from q."""


# Files hold the name under which the class is registered.
@keras.saving.register_keras_serializable("tf_sigma_vae", "HierarchicalVae")
class HierarchicalVAE(LatentVariableModel):
    """Variational autoencoder of several levels of latents, with a calibrated decoder.

    `z` holds the latents of all levels, flattened, top first: see `split_levels`. `rate_groups` of
    an output are the rates of the levels. Its `posterior` holds the means and scales of
    `q(z_i | z_<i, x)` at the drawn `z_<i`; that of `encode` holds those at the means.
    """

    LATENT = "ladder"

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int = 20,
        likelihood: str | Likelihood = "gaussian_shared",
        network: str | Sequence[keras.layers.Layer] = "ladder32",
        network_options: dict | None = None,
        merge: str = "residual",
        log_scale_bound: float = 5.0,
        **kwargs: Any,
    ) -> None:
        """Builds the model.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: Size of the top latent, a vector; the attribute is that of all levels.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`.
          network: Name of a network plug-in, or a pair `(bottom_up, top_down)` of Keras layers that
            offer what those of `ladder32` do.
          network_options: Options of the network plug-in.
          merge: How q is made of what the network gives, `"residual"`, `"precision"` or `"concat"`.
          log_scale_bound: Bound of log-scales of p and of what q is made of; 0 for none.
          **kwargs: Of `LatentVariableModel` and of `keras.Model` (`dtype`, `name`).

        Raises:
          ValueError: On an impossible shape, size or bound, or an unknown name or option.
        """
        super().__init__(image_shape, latent_size, likelihood, network, network_options, **kwargs)
        self.merge, self.log_scale_bound = merge, log_scale_bound
        self.bottom_up, self.top_down = self.networks_given(
            network, ("bottom_up", "top_down"), merge=merge, log_scale_bound=log_scale_bound
        )
        self.build((None, *self.image_shape))

    @classmethod
    def make_networks(
        cls,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        network: str,
        network_options: dict[str, Any],
        dtype: keras.DTypePolicy | None = None,
        merge: str = "residual",
        log_scale_bound: float = 5.0,
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """See `LatentVariableModel.make_networks`."""
        check_options(merge, log_scale_bound)
        bottom_up, top_down = networks.find(network, cls.LATENT, network_options)
        options = {"dtype": dtype, **network_options}
        is_joint = merge != "precision"
        return (
            bottom_up(image_shape, latent_size, name="bottom_up", **options),
            top_down(
                image_shape, latent_size, params_channels, is_joint, name="top_down", **options
            ),
        )

    @property
    def networks(self) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """`(bottom_up, top_down)`."""
        return self.bottom_up, self.top_down

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights, and the metrics of the levels."""
        self._check_networks()
        self._levels = Levels(*self.networks, self.merge, self.log_scale_bound)
        for level in range(self.num_levels):
            name = _rate_name(level)
            self._trackers[name] = Tracker(name)
        super().build(input_shape)

    def _check_networks(self) -> None:
        """Checks layers of one's own, which `networks.find` has not seen.

        Raises:
          ValueError: If they are for a flat latent, or do not fit the model or one another.
        """
        up, down = self.networks
        if not hasattr(down, "level_shapes"):
            raise ValueError(
                f"network: {type(down).__name__} has no level_shapes; layers for levels are those "
                "that offer what BottomUp and TopDown of networks.ladder32 do"
            )
        if list(getattr(up, "level_shapes", down.level_shapes)) != list(down.level_shapes):
            raise ValueError(
                f"network: level_shapes of the way up, {list(up.level_shapes)}, are not those of "
                f"the way down, {list(down.level_shapes)}"
            )
        top = math.prod(down.level_shapes[0])
        if top != self.top_size:
            raise ValueError(f"latent_size is {self.top_size}, the top of the network has {top}")

    # -- levels

    @property
    def level_shapes(self) -> list[tuple[int, int, int]]:
        """`(h, w, c)` of the latent of each level, top first."""
        return list(self._levels.shapes)

    @property
    def num_levels(self) -> int:
        """See `LatentVariableModel.num_levels`."""
        return len(self._levels.shapes)

    @property
    def latent_size(self) -> int:
        """Size of `z`: the latents of all levels."""
        return sum(math.prod(shape) for shape in self._levels.shapes)

    def split_levels(self, z: tf.Tensor) -> list[tf.Tensor]:
        """The latents of the levels, `[B, h, w, c]` each, top first, of `z` `[B, latent_size]`."""
        return self._levels.split(z)

    def join_levels(self, latents: Sequence[tf.Tensor]) -> tf.Tensor:
        """Inverse of `split_levels`."""
        return self._levels.join(latents)

    # -- what the model computes

    def group_metrics(self, output: Output) -> dict[str, tf.Tensor]:
        """`rate_level_0` ..., nats."""
        rates = tf.unstack(output.rate_groups, axis=1)
        return {_rate_name(level): rate for level, rate in enumerate(rates)}

    def encode(self, x: TensorLike) -> tfd.Independent:
        """The posterior along its means: `q(z_i | z_<i, x)` at the means of the levels above."""
        self.check_images(x)
        levels = self._levels
        _, draws = levels.descend(levels.start(x), levels.inferred(x, None))
        return levels.posterior_of(draws)

    def top_posterior(self, x: TensorLike) -> tfd.Independent:
        """q(z_0|x), event shape `[top_size]`.

        Raises:
          ValueError: If the network draws on the way up: then q(z_0|x) is a mixture.
        """
        if self._levels.draws_on_the_way_up:
            raise ValueError(
                "the network draws parts of the latent on the way up, so that q(z_0|x) is a "
                "mixture over them and no Gaussian; with stochastic_bottom_up=False it is one"
            )
        self.check_images(x)
        features, _ = self.bottom_up(x)
        top = self._levels.gaussian(self.top_down.posterior(0, None, features[0]))
        loc, scale = (tf.reshape(v, [-1, self.top_size]) for v in (top.loc, top.scale))
        return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)

    def infer(self, x: TensorLike, noise_ids: tf.Tensor, check: Check = unchecked) -> Inference:
        """See `LatentVariableModel.infer`."""
        self.check_images(x)
        inferred = self._levels.inferred(x, noise_ids, check)
        state, draws = self._levels.descend(self._levels.start(x), inferred)
        rates = [self._levels.rate_of(level, draw) for level, draw in enumerate(draws)]
        return Inference(
            posterior=self._levels.posterior_of(draws),
            z=self.join_levels([draw.z for draw in draws]),
            params=self.top_down.output(state),
            rate_groups=tf.stack(rates, axis=1),
        )

    def decode_params(self, z: tf.Tensor) -> tf.Tensor:
        """See `LatentVariableModel.decode_params`."""
        return self.top_down(self.split_levels(z))

    def sample_prior(self, noise_ids: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """See `LatentVariableModel.sample_prior`."""
        generated = self._levels.generated(noise_ids, temperature)
        _, draws = self._levels.descend(self._levels.start(noise_ids), generated)
        return self.join_levels([draw.z for draw in draws])

    def reconstructions_by_level(
        self, x: TensorLike, noise_ids: tf.Tensor | None = None, temperature: float = 0.0
    ) -> tf.Tensor:
        """What the upper levels alone know of the images.

        Args:
          x: `[B, H, W, C]`.
          noise_ids: Of the draws from q and p, uint32 `[B, 2]`; None for the means of q.
          temperature: Factor on the scales of p; 0 for its means.

        Returns:
          Mean images, float32 `[num_levels + 1, B, H, W, C]`: in row `l` the first `l` levels are
          from q(z|x), the others from p given those above them. Row 0 knows nothing of `x`.

        Raises:
          ValueError: If a temperature is given without ids, or is no number from 0.
        """
        require_temperature(temperature)
        if noise_ids is None and temperature != 0.0:
            raise ValueError(f"temperature={temperature:g} takes noise_ids, those of the draws")
        self.check_images(x)
        inferred = self._levels.inferred(x, noise_ids)
        # Of its own stream: what is drawn on the way up would be drawn again below.
        own_ids = None if noise_ids is None else noise.fold(noise_ids, _PRIOR_STREAM)
        generated = self._levels.generated(own_ids, temperature)
        state, means = self._levels.start(x), []
        for level in range(self.num_levels + 1):
            end, _ = self._levels.descend(state, generated, level)
            means.append(self.likelihood.distribution(self.top_down.output(end)).mean())
            if level < self.num_levels:
                state, _ = self._levels.step(level, state, inferred)
        return tf.stack(means)

    def log_importance_weights(
        self, x: TensorLike, num_samples: int, first_sample: int | tf.Tensor = 0
    ) -> tf.Tensor:
        """See `LatentVariableModel.log_importance_weights`; decodes `K * B` latents at once."""
        x = tf.convert_to_tensor(x)
        self.check_images(x)
        ids = tf.reshape(self.sample_noise_ids(x, num_samples, first_sample), [-1, 2])
        inferred = self._levels.inferred(x, ids, num_copies=num_samples)
        state, draws = self._levels.descend(self._levels.start(ids), inferred)
        likelihood = self.likelihood.distribution(self.top_down.output(state))
        log_weights = likelihood.log_prob(copies(tf.cast(x, tf.float32), num_samples))
        for draw in draws:
            log_ratio = draw.prior.log_prob(draw.z) - draw.posterior.log_prob(draw.z)
            log_weights += tf.reduce_sum(log_ratio, axis=[1, 2, 3])
        return tf.reshape(log_weights, [num_samples, -1])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        own = {"merge": self.merge, "log_scale_bound": self.log_scale_bound}
        return {**super().get_config(), **own}


def _rate_name(level: int) -> str:
    return f"rate_level_{level}"
