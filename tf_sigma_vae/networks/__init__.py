"""Networks, one architecture a file: an `Encoder` and a `Decoder`, tensors in, tensors out.

An encoder maps images `[B, H, W, C]` to `[B, 2 * latent_size]`; a decoder maps latents
`[B, latent_size]` to `[B, H, W, params_channels]`. Neither knows what its numbers mean.
"""

from tf_sigma_vae import plugins

# Every architecture is imported, so that saved models load after `import tf_sigma_vae` alone.
__all__ = plugins.names("networks")
for _name in __all__:
    globals()[_name] = plugins.find_module("networks", _name)
