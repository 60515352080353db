"""`dense`: fully connected networks; with no hidden layer the model is linear.

The linear model with a linear mean is probabilistic PCA (Tipping & Bishop 1999), the closed-form
ground truth of this project's tests.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def _as_tuple(hidden_sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(hidden_sizes, (list, tuple)):
        raise ValueError(f"hidden_sizes must be a list of sizes, got {hidden_sizes!r}")
    return tuple(hidden_sizes)


def _hidden_layers(
    hidden_sizes: Sequence[object], activation: str, policy: keras.DTypePolicy
) -> list[keras.layers.Layer]:
    if any(not isinstance(size, int) or size < 1 for size in hidden_sizes):
        raise ValueError(f"hidden_sizes must be positive whole numbers, got {hidden_sizes}")
    return [
        keras.layers.Dense(size, activation, dtype=policy, name=f"hidden{i}")
        for i, size in enumerate(hidden_sizes)
    ]


class _DenseNetwork(keras.layers.Layer):
    """A chain of layers, built and applied in order."""

    def _chain(self) -> list[keras.layers.Layer]:
        return [self.flatten, *self.hidden, self.head, self.reshape]

    def _set_chain(self, hidden_sizes: Sequence[int], output_shape: tuple[int, ...]) -> None:
        policy = self.dtype_policy
        self.flatten = keras.layers.Flatten(dtype=policy)
        self.hidden = _hidden_layers(hidden_sizes, self.activation, policy)
        self.head = keras.layers.Dense(math.prod(output_shape), dtype=policy, name="head")
        self.reshape = keras.layers.Reshape(output_shape, dtype=policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        shape = (None, *input_shape[1:])
        for layer in self._chain():
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the network."""
        for layer in self._chain():
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Batch axis of the input, shape of the last layer."""
        return (input_shape[0], *self.reshape.target_shape)


@keras.saving.register_keras_serializable("tf_sigma_vae.dense")
class Encoder(_DenseNetwork):
    """Images `[B, H, W, C]` to `[B, num_outputs]`."""

    def __init__(
        self,
        image_shape: Sequence[int],
        num_outputs: int,
        hidden_sizes: Sequence[int] = (256,),
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          num_outputs: Size of the output vector.
          hidden_sizes: Sizes of the hidden layers; `()` for a linear network.
          activation: Of the hidden layers, any name Keras knows.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If a size is not positive or the activation unknown.
        """
        super().__init__(**kwargs)
        self.image_shape, self.num_outputs = tuple(image_shape), num_outputs
        self.hidden_sizes, self.activation = _as_tuple(hidden_sizes), activation
        self._set_chain(self.hidden_sizes, (num_outputs,))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("image_shape", "num_outputs", "hidden_sizes", "activation")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("tf_sigma_vae.dense")
class Decoder(_DenseNetwork):
    """Latents `[B, latent_size]` to `[B, H, W, params_channels]`."""

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        hidden_sizes: Sequence[int] = (256,),
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        """Builds the layer.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: Size of the latent vector.
          params_channels: Channels to emit, as the likelihood asks.
          hidden_sizes: Sizes of the encoder's hidden layers; the decoder has them in reverse.
          activation: Of the hidden layers, any name Keras knows.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: If a size is not positive or the activation unknown.
        """
        super().__init__(**kwargs)
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        self.params_channels = params_channels
        self.hidden_sizes, self.activation = _as_tuple(hidden_sizes), activation
        shape = (*self.image_shape[:2], params_channels)
        self._set_chain(self.hidden_sizes[::-1], shape)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("image_shape", "latent_size", "params_channels", "hidden_sizes", "activation")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
