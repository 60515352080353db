"""Networks, one architecture a file: two layers, tensors in, tensors out.

A module says by `LATENT` what latent its layers are for. Neither knows what its numbers mean.

* `"flat"` (also where a module says nothing): `Encoder(image_shape, num_outputs, **options)` maps
  images `[B, H, W, C]` to `[B, 2 * latent_size]`; `Decoder(image_shape, latent_size,
  params_channels, **options)` maps latents `[B, latent_size]` to `[B, H, W, params_channels]`.
* `"ladder"`, levels of latents, 0 at the top: `BottomUp(image_shape, **options)` and
  `TopDown(image_shape, latent_size, params_channels, is_joint, **options)`; what they offer is
  documented in `ladder32`.
* `"sequence"`, a latent for each frame of a video: `FrameEncoder(image_shape, feature_size,
  **options)` maps frames `[N, H, W, C]` to features `[N, feature_size]` and a list of maps, the
  skips; `FrameDecoder(image_shape, feature_size, params_channels, **options)` maps features and the
  skips of M frames, N a multiple of M, to `[N, H, W, params_channels]`. Both have `skip_shapes`.
"""

from tf_sigma_vae import plugins

LATENTS = {
    "flat": ("Encoder", "Decoder"),
    "ladder": ("BottomUp", "TopDown"),
    "sequence": ("FrameEncoder", "FrameDecoder"),
}
"""Names of the layers of a network, by the latent that it is for."""

# Every architecture is imported, so that saved models load after `import tf_sigma_vae` alone.
__all__ = plugins.own_names("networks")
for _name in __all__:
    globals()[_name] = plugins.find_module("networks", _name)


def latent_of(name: str) -> str:
    """The latent that a network is for, of `LATENTS`.

    Raises:
      ValueError: If there is no such network.
    """
    return getattr(plugins.find_module("networks", name), "LATENT", "flat")


def layers_of(name: str) -> tuple[type, type]:
    """The classes of a network's layers, in the order of `LATENTS`.

    Raises:
      ValueError: If there is no such network.
    """
    module = plugins.find_module("networks", name)
    return tuple(getattr(module, layer) for layer in LATENTS[latent_of(name)])


def find(name: str, latent: str, options: dict) -> tuple[type, type]:
    """The classes of the layers of a network that fits a model and takes the options.

    Args:
      name: Of the network.
      latent: What the model has, of `LATENTS`.
      options: For both layers.

    Raises:
      ValueError: If there is no such network, it is for another latent, or it has no such option.
    """
    if latent_of(name) != latent:
        fitting = [other for other in __all__ if latent_of(other) == latent]
        raise ValueError(
            f"network {name!r} is for a {latent_of(name)} latent, the model has a {latent} one; "
            f"networks for it: {', '.join(fitting)}"
        )
    classes = layers_of(name)
    for cls in classes:
        plugins.check_options(cls, options, f"network {name!r}")
    return classes
