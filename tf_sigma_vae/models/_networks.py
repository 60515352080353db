"""What a model is made of: two networks and a likelihood, given by name or as layers, and saved."""

import numbers
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import keras

from tf_sigma_vae import plugins
from tf_sigma_vae.likelihoods import Likelihood


class WithNetworks(keras.Model):
    """Base of a model of networks; a subclass says which networks it takes, and makes them.

    Attributes:
      LATENT: What the networks must be for, of `networks.LATENTS`.
      NETWORKS: Names of the attributes that hold the two.
      image_shape: `(H, W, C)`.
      top_size: Size of the latent that depends on no other: all of it where it is flat.
      network: Name of the network plug-in, `"custom"` for layers.
    """

    LATENT: ClassVar[str]
    NETWORKS: ClassVar[tuple[str, str]]

    image_shape: tuple[int, ...]
    likelihood: Likelihood

    @classmethod
    @abstractmethod
    def make_networks(
        cls,
        image_shape: Sequence[int],
        latent_size: int,
        params_channels: int,
        network: str,
        network_options: dict,
        dtype: keras.DTypePolicy | None = None,
    ) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """The two networks of a plug-in, without weights: also a check of all options.

        A subclass with options of its own takes those, too, by name.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: See `top_size`.
          params_channels: Channels that the likelihood asks for.
          network: Name of the plug-in.
          network_options: Of the plug-in.
          dtype: Keras policy.

        Raises:
          ValueError: On an unknown name or option, a network for another latent, or a bad value.
        """

    def set_parts(
        self,
        image_shape: Sequence[int],
        latent_size: int,
        likelihood: str | Likelihood,
        network: str | Sequence[keras.layers.Layer],
        network_options: dict[str, Any] | None,
        **options: Any,
    ) -> None:
        """Sets the parts and creates their weights; for the constructor.

        Args:
          image_shape: `(H, W, C)`.
          latent_size: See `top_size`.
          likelihood: Name of a likelihood plug-in, or an instance of `Likelihood`.
          network: Name of a network plug-in, or a pair of Keras layers.
          network_options: Of the plug-in; None for none.
          **options: Of `make_networks`.

        Raises:
          ValueError: On an impossible shape or size, or an unknown name or option.
        """
        self.image_shape = tuple(int(size) for size in image_shape)
        if len(self.image_shape) != 3 or min(self.image_shape) < 1:
            raise ValueError(f"image_shape must be (H, W, C), got {tuple(image_shape)}")
        self.top_size = _whole_size(latent_size)
        if isinstance(likelihood, str):
            likelihood = plugins.find("likelihoods", likelihood)()
        if not isinstance(likelihood, Likelihood):
            raise ValueError(f"likelihood must be a name or a Likelihood, got {likelihood!r}")
        self.likelihood = likelihood
        self.network = network if isinstance(network, str) else "custom"
        self.network_options = dict(network_options or {})
        if isinstance(network, str):
            channels = likelihood.params_channels(self.image_shape[-1])
            given = (self.image_shape, self.top_size, channels, network, self.network_options)
            network = self.make_networks(*given, dtype=self.dtype_policy, **options)
        if len(network) != len(self.NETWORKS):
            raise ValueError(
                f"network must be a name or the layers ({', '.join(self.NETWORKS)}), "
                f"got {len(network)} of them"
            )
        for name, layer in zip(self.NETWORKS, network, strict=True):
            setattr(self, name, layer)
        self.build((None, *self.image_shape))

    @property
    def networks(self) -> tuple[keras.layers.Layer, keras.layers.Layer]:
        """The two networks."""
        first, second = (getattr(self, name) for name in self.NETWORKS)
        return first, second

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights of the networks and the likelihood."""
        # The latent that the second one takes, of a shape of its own where it is not flat.
        for layer, shape in zip(self.networks, (self.image_shape, (self.top_size,)), strict=True):
            if not layer.built:
                layer.build((None, *shape))
        channels = self.likelihood.params_channels(self.image_shape[-1])
        self.likelihood.ensure_built((None, *self.image_shape[:-1], channels))
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        network: str | list[dict[str, Any]] = self.network
        if network == "custom":
            network = [keras.saving.serialize_keras_object(layer) for layer in self.networks]
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_size": self.top_size,
            "network": network,
            "network_options": self.network_options,
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Inverse of `get_config`."""
        config = dict(config)
        restore = keras.saving.deserialize_keras_object
        config["likelihood"] = restore(config["likelihood"], custom_objects=custom_objects)
        if not isinstance(config["network"], str):
            config["network"] = [
                restore(layer, custom_objects=custom_objects) for layer in config["network"]
            ]
        return cls(**config)


def _whole_size(latent_size: object) -> int:
    if not isinstance(latent_size, numbers.Integral) or latent_size < 1:
        raise ValueError(f"latent_size must be a whole number from 1, got {latent_size!r}")
    return int(latent_size)
