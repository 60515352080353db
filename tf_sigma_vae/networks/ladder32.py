"""`ladder32`: gated residual networks up and down a ladder of latents, for images of any size.

Levels are numbered from the top: level 0 is a vector, and the others are vectors or maps that grow
towards the image. `BottomUp` reads the image, and hands a map of features over to `TopDown` at each
level. `TopDown` holds a state `h`, in turn

    parameters of p(z_i | z_<i) from h,    those of q(z_i | z_<i, x) from h and the features,
    h <- blocks(h + convolution(z_i)),

and makes the parameters of p(x|z) of the last one: by the sums each latent has a short way to all
that is below it. Where `stochastic_bottom_up` is set, each level but the top has a second part of
its latent, that is drawn on the way up, from the features and all such parts below (Maaloe et al.
2019, Sec. 3.2): what is above can depend on it.

The defaults are the 15 latents of that paper's CIFAR-10 model, as published with its code: 96
channels, three blocks a level, maps of 38, 36, ... channels at 16x16 and 8x8. Reconstructed, for it
differs: blocks and gates (`_gated_blocks`), no dropout, and at the top a vector in place of a map
of 4x4x10; of the four levels at 8x8 one is at 4x4.

A latent of resolution r lies on the first of the maps H x W, H/2 x W/2, ... (rounded up) whose
longer side is at most r; a map that holds none has a block and no more.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_sigma_vae.networks._gated_blocks import Upsample
from tf_sigma_vae.networks._ladder import Ladder

LATENT = "ladder"
LATENTS = ((16, 10), (8, 3), (4, 1), (1, 1))
LATENT_CHANNELS = tuple(range(38, 10, -2))


@keras.saving.register_keras_serializable("tf_sigma_vae.ladder32")
class BottomUp(Ladder):
    """Images `[B, H, W, C]` to a map of features for each level."""

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        channels: int = 96,
        latents: Sequence[Sequence[int]] = LATENTS,
        latent_channels: int | list[int] | tuple[int, ...] = LATENT_CHANNELS,
        num_blocks: int = 3,
        stochastic_bottom_up: bool = True,
        rematerialize: bool = False,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: Size of the vectors of latents.
          channels: Of all features.
          latents: Pairs `(resolution, count)` of levels, finest first; the last resolution is 1,
            that of vectors.
          latent_channels: Of the maps of latents: a number, or one for each, finest first.
          num_blocks: Of each level.
          stochastic_bottom_up: Whether levels but the top have a part inferred on the way up.
          rematerialize: Whether a training step keeps what goes in and out of the blocks of a level
            and computes the rest a second time: less memory for more time.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: On impossible latents or numbers.
        """
        super().__init__(**kwargs)
        self._set_options(
            image_shape,
            latent_size,
            channels=channels,
            latents=latents,
            latent_channels=latent_channels,
            num_blocks=num_blocks,
            stochastic_bottom_up=stochastic_bottom_up,
            rematerialize=rematerialize,
        )
        # From here on the finest level first.
        levels = self.levels[::-1]
        place = min(levels[0].place, len(self.map_sizes) - 1, 1)
        self.entry = self._convolution(channels, 5, strides=1 + place)
        self.paths, self.parameters, self.projections = [], [], []
        for level in levels:
            down = self._down(place, level.place)
            self.paths.append(self._chain([*down, *self._blocks(level.place, num_blocks)]))
            place, drawn = level.place, level.bottom_up_channels
            if drawn:
                self.parameters.append(self._parameters(level, 2 * drawn, channels))
                self.projections.append(self._convolution(channels, 1))

    def _down(self, place: int, goal: int) -> list[keras.layers.Layer]:
        """From the map at one place to that at another."""
        layers, held = [], {level.place for level in self.levels}
        for current in range(place, goal):
            if current not in held:
                layers += self._blocks(current, 1)
            if current + 1 == len(self.map_sizes):
                size = self.map_sizes[current]
                layer = self._convolution(self.channels, size, padding="valid")
            else:
                layer = self._convolution(self.channels, 3, strides=2)
            layers.append(self._activated(layer, rematerialize=False))
        return layers

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.entry.build((None, *self.image_shape))
        for layer in [*self.paths, *self.parameters]:
            layer.build((None, None, None, self.channels))
        drawn = [level.bottom_up_channels for level in self.levels[:0:-1]]
        for layer, channels in zip(self.projections, filter(None, drawn), strict=True):
            layer.build((None, None, None, channels))
        self.built = True

    def call(
        self, inputs: tf.Tensor, draw: Callable[[int, tf.Tensor], tf.Tensor] | None = None
    ) -> tuple[list[tf.Tensor], list[tuple[tf.Tensor, tf.Tensor] | None]]:
        """Applies the network.

        Args:
          inputs: `[B, H, W, C]`.
          draw: Function of a level and of parameters `[B, h, w, 2c]` that draws that level's part
            `[B, h, w, c]`. Not called where nothing is inferred on the way up.

        Returns:
          Pair of lists, top first: features `[B, h, w, channels]`; and pairs of what was drawn and
          its parameters, or None.

        Raises:
          ValueError: If a level is inferred on the way up and there is no `draw`.
        """
        features: list[tf.Tensor] = []
        drawn: list[tuple[tf.Tensor, tf.Tensor] | None] = []
        parts = zip(self.parameters, self.projections, strict=True)
        state = self.entry(inputs)
        for index in reversed(range(len(self.levels))):
            state = self.paths[len(self.levels) - 1 - index](state)
            features.append(state)
            drawn.append(None)
            if self.levels[index].bottom_up_channels:
                parameters_of, project = next(parts)
                parameters = parameters_of(state)
                if draw is None:
                    raise ValueError(f"level {index} is inferred on the way up: it needs draw")
                z = draw(index, parameters)
                state = state + project(z)
                drawn[-1] = (z, parameters)
        return features[::-1], drawn[::-1]


@keras.saving.register_keras_serializable("tf_sigma_vae.ladder32")
class TopDown(Ladder):
    """Latents to parameters `[B, H, W, params_channels]` of p(x|z), and of p and q on the way."""

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        is_joint: bool,
        channels: int = 96,
        latents: Sequence[Sequence[int]] = LATENTS,
        latent_channels: int | list[int] | tuple[int, ...] = LATENT_CHANNELS,
        num_blocks: int = 3,
        stochastic_bottom_up: bool = True,
        rematerialize: bool = False,
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: As of `BottomUp`.
          params_channels: Channels to emit, as the likelihood asks.
          is_joint: Whether `posterior` looks at the state too, and not at the features alone.
          channels: As of `BottomUp`; so are the others.
          latents: See there.
          latent_channels: See there.
          num_blocks: See there.
          stochastic_bottom_up: See there.
          rematerialize: See there.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: On impossible latents or numbers.
        """
        super().__init__(**kwargs)
        self._set_options(
            image_shape,
            latent_size,
            channels=channels,
            latents=latents,
            latent_channels=latent_channels,
            num_blocks=num_blocks,
            stochastic_bottom_up=stochastic_bottom_up,
            rematerialize=rematerialize,
        )
        self.params_channels, self.is_joint = params_channels, bool(is_joint)
        self.priors, self.posteriors, self.projections, self.paths = [], [], [], []
        goals = [level.place for level in self.levels[1:]] + [self.levels[-1].place]
        for level, goal in zip(self.levels, goals, strict=True):
            self.priors.append(self._parameters(level, 2 * level.shape[-1]))
            self.posteriors.append(self._parameters(level, 2 * level.top_down_channels, channels))
            self.projections.append(self._convolution(channels, 1))
            blocks = self._blocks(level.place, num_blocks)
            self.paths.append(self._chain([*blocks, *self._up(level.place, goal)]))
        # Nothing is to be predicted at the top.
        self.priors.pop(0)
        self.exit = self._chain(self._up(goals[-1], 0))
        self.params = self._activated(self._convolution(params_channels, 1))

    def _up(self, place: int, goal: int) -> list[keras.layers.Layer]:
        """From the map at one place to that at another."""
        layers, held = [], {level.place for level in self.levels}
        for current in range(place - 1, goal - 1, -1):
            from_vector = current + 1 == len(self.map_sizes)
            size = self.map_sizes[current]
            layers.append(Upsample(self.channels, size, from_vector, dtype=self.dtype_policy))
            if current not in held:
                layers += self._blocks(current, 1)
        return layers

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        state = (None, None, None, self.channels)
        exact = {"dtype": "float32", "autocast": False}
        self.initial = self.add_weight(
            shape=(self.channels,), initializer="zeros", name="initial", **exact
        )
        for layer in [*self.priors, *self.paths, self.exit, self.params]:
            layer.build(state)
        for index, level in enumerate(self.levels):
            seen = 2 * self.channels if self.is_joint and index else self.channels
            self.posteriors[index].build((None, None, None, seen))
            self.projections[index].build((None, *level.shape))
        self.built = True

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Parameters `[B, H, W, params_channels]` of p(x|z) for latents, `[B, h, w, c]` each."""
        state = self.start(tf.shape(inputs[0])[0])
        for level, z in enumerate(inputs):
            state = self.merge(level, state, z)
        return self.output(state)

    def start(self, batch_size: int | tf.Tensor) -> tf.Tensor:
        """The state before the top level, `[B, 1, 1, channels]`."""
        initial = tf.cast(self.initial, self.compute_dtype)
        return tf.broadcast_to(initial, [batch_size, 1, 1, self.channels])

    def prior(self, level: int, state: tf.Tensor) -> tf.Tensor | None:
        """Parameters `[B, h, w, 2c]` of p(z_i | z_<i); None at the top, where nothing is above."""
        return self.priors[level - 1](state) if level else None

    def posterior(self, level: int, state: tf.Tensor | None, features: tf.Tensor) -> tf.Tensor:
        """Parameters `[B, h, w, 2c]` of q for the part of the latent inferred on the way down."""
        if self.is_joint and level:
            features = tf.concat([state, features], axis=-1)
        return self.posteriors[level](features)

    def merge(self, level: int, state: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """The state after a level, for its latent `[B, h, w, c]`."""
        return self.paths[level](state + self.projections[level](z))

    def output(self, state: tf.Tensor) -> tf.Tensor:
        """Parameters `[B, H, W, params_channels]` of p(x|z) of the state after the last level."""
        return self.params(self.exit(state))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        own = {"params_channels": self.params_channels, "is_joint": self.is_joint}
        return {**super().get_config(), **own}
