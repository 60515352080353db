"""Images from a known generator, whose noise scale the trained decoder should find."""

import math

import numpy as np

from tf_sigma_vae.data import _base, _options

GENERATORS = ("linear", "nonlinear")
LARGEST_NOISE_SCALE = 0.06
SMALLEST_NOISE_SCALE = 1 / 255
_LINEAR_SCALE = 0.08
_NONLINEAR_AMPLITUDE = 0.2
_MIDDLE = 0.5
_LARGEST_FREQUENCY = 2


class Synthetic(_base.ImageDataset):
    """Images `x = 0.5 + f(z) + noise_scale * e`, with z and e standard normal, as grey levels.

    "linear" is `f(z) = 0.08 W z`, "nonlinear" is `f(z) = 0.2 tanh(W z)`. The rows of W, one for
    each pixel and channel, have norm 1; its columns, one for each latent, are smooth waves over
    the image. So a linear decoder is exact for the first: probabilistic PCA (Tipping and Bishop
    1999).

    The scale a perfect decoder has, in [0, 1] units, is `true_scale`: the noise and the rounding
    to 256 grey levels, which adds a variance of 1/(12 * 255**2). Clipping at black and white is
    left out of it: 0.5 +- 0.5 is at least 5 standard deviations away from any pixel's value
    (linear: sqrt(0.08**2 + 0.06**2) = 0.1; nonlinear: (0.5 - 0.2) / 0.06 = 5), so that fewer than
    one value in a million is clipped.

    Attributes:
      true_scale: Standard deviation of a pixel around its generator's mean, in [0, 1] units.
    """

    def __init__(
        self,
        *,
        generator: str = "linear",
        noise_scale: float = 0.05,
        num_train: int = 2000,
        num_test: int = 500,
        image_size: int | tuple[int, int] | None = None,
        channels: int = 1,
        latent_size: int = 4,
        seed: int = 0,
    ) -> None:
        """Chooses a generator.

        Args:
          generator: "linear" or "nonlinear".
          noise_scale: Standard deviation of the noise in [0, 1] units, from 1/255 to 0.06.
          num_train: Number of training images.
          num_test: Number of test images.
          image_size: Pixels, (height, width) or one number for both; None for 8.
          channels: 1 or 3.
          latent_size: Number of latents; fewer than there are values in an image.
          seed: Seed of W, of the latents and of the noise.
        """
        self.generator = _options.choice("generator", generator, GENERATORS)
        self.noise_scale = _options.fraction("noise_scale", noise_scale)
        if not SMALLEST_NOISE_SCALE <= noise_scale <= LARGEST_NOISE_SCALE:
            raise ValueError(
                f"noise_scale must be between 1/255 (below it rounding is not like noise) and "
                f"{LARGEST_NOISE_SCALE} (above it values are clipped), got {noise_scale!r}"
            )
        self.num_train = _options.integer("num_train", num_train)
        self.num_test = _options.integer("num_test", num_test)
        self.image_size = _options.image_size(image_size) or (8, 8)
        self.channels = _options.choice("channels", channels, (1, 3))
        self.latent_size = _options.integer("latent_size", latent_size)
        if self.latent_size >= math.prod(self.image_size) * channels:
            raise ValueError(
                f"latent_size must be smaller than the number of values in an image, "
                f"{math.prod(self.image_size) * channels}, got {latent_size}"
            )
        self.seed = _options.integer("seed", seed, minimum=0)

    @property
    def true_scale(self) -> float:
        """Standard deviation of the noise and the rounding, in [0, 1] units."""
        return math.sqrt(self.noise_scale**2 + 1 / (12 * 255**2))

    def _read(self, data_dir: str | None, download: bool) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(self.seed)
        weights = self._weights(generator)
        sizes = {"train": self.num_train, "test": self.num_test}
        return {split: self._draw(generator, weights, size) for split, size in sizes.items()}

    def _weights(self, generator: np.random.Generator) -> np.ndarray:
        """W, `[H * W * C, latent_size]`: plane waves, then every row brought to norm 1."""
        height, width = self.image_size
        shape = (self.latent_size, self.channels, 1, 1)
        vertical, horizontal = generator.uniform(
            -_LARGEST_FREQUENCY, _LARGEST_FREQUENCY, (2, *shape)
        )
        rows = np.arange(height)[:, np.newaxis] / height
        columns = np.arange(width) / width
        phase = generator.uniform(0, 1, shape)
        waves = np.cos(2 * np.pi * (vertical * rows + horizontal * columns + phase))
        weights = np.moveaxis(waves, 1, -1).reshape(self.latent_size, -1).T
        return weights / np.linalg.norm(weights, axis=1, keepdims=True)

    def _draw(self, generator: np.random.Generator, weights: np.ndarray, size: int) -> np.ndarray:
        """Images, uint8 `[size, H, W, C]`."""
        projected = generator.standard_normal((size, self.latent_size)) @ weights.T
        if self.generator == "linear":
            signal = _LINEAR_SCALE * projected
        else:
            signal = _NONLINEAR_AMPLITUDE * np.tanh(projected)
        x = _MIDDLE + signal + self.noise_scale * generator.standard_normal(signal.shape)
        levels = np.clip(np.round(255 * x), 0, 255).astype(np.uint8)
        return levels.reshape(size, *self.image_size, self.channels)
