"""The levels of a ladder of latents, and what its two networks have in common."""

import dataclasses
import itertools
import numbers
from collections.abc import Sequence
from typing import Any

import keras

from tf_sigma_vae.networks._gated_blocks import Activated, Chain, GatedBlock, WeightNormConv

SMALLEST_MAP = 4
"""Longer side, at most, of the map that is made a vector; less where a smaller one has latents."""
_PARAMETERS_GAIN = 0.1
"""Of the convolutions that give Gaussian parameters: at the start q is close to p."""


# No named tuple: Keras, which looks into the attributes of a layer, cannot copy one.
@dataclasses.dataclass(frozen=True)
class Level:
    """A level of the ladder."""

    place: int
    """Which of the maps it lies on; their number for a vector."""
    size: tuple[int, int]
    """Height and width; `(1, 1)` for a vector."""
    top_down_channels: int
    """Of the part of the latent that is inferred on the way down."""
    bottom_up_channels: int
    """Of the part that is inferred on the way up, behind the other; 0 for none."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(h, w, c)` of the latent."""
        return (*self.size, self.top_down_channels + self.bottom_up_channels)


class Ladder(keras.layers.Layer):
    """What the networks of both directions have in common."""

    channels: int
    latents: tuple[tuple[int, int], ...]
    latent_channels: int | list[int] | tuple[int, ...]
    num_blocks: int
    stochastic_bottom_up: bool
    rematerialize: bool

    def _set_options(self, image_shape: Sequence[int], latent_size: int, **options: Any) -> None:
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        for name, value in options.items():
            setattr(self, name, value)
        self.latents = _pairs(self.latents)
        for name in ("latent_size", "channels", "num_blocks"):
            _require_whole(name, getattr(self, name))
        for name in ("stochastic_bottom_up", "rematerialize"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        smallest = min([SMALLEST_MAP, *(r for r, _ in self.latents if r > 1)])
        height, width = self.image_shape[:2]
        self.map_sizes = [(height, width)]
        while max(height, width) > smallest:
            height, width = (height + 1) // 2, (width + 1) // 2
            self.map_sizes.append((height, width))
        self.levels = self._levels()

    def _levels(self) -> list[Level]:
        num_maps = sum(count for resolution, count in self.latents if resolution > 1)
        given = self.latent_channels
        channels = tuple(given) if isinstance(given, list | tuple) else (given,) * num_maps
        self.latent_channels = channels
        for value in channels:
            _require_whole("latent_channels", value)
        if len(channels) != num_maps:
            raise ValueError(
                f"latent_channels must be a number or one for each of the {num_maps} maps of "
                f"latents, finest first; got {len(channels)}: {channels}"
            )
        sizes, levels = iter(channels), []
        for resolution, count in self.latents:
            place, size = len(self.map_sizes), (1, 1)
            if resolution > 1:
                place = next(i for i, s in enumerate(self.map_sizes) if max(s) <= resolution)
                size = self.map_sizes[place]
            for _ in range(count):
                own = next(sizes) if resolution > 1 else self.latent_size
                levels.append(Level(place, size, own, own * self.stochastic_bottom_up))
        top = dataclasses.replace(levels.pop(), bottom_up_channels=0)
        return [top, *reversed(levels)]

    @property
    def level_shapes(self) -> list[tuple[int, int, int]]:
        """`(h, w, c)` of the latent of each level, top first."""
        return [level.shape for level in self.levels]

    @property
    def bottom_up_channels(self) -> list[int]:
        """How many of the channels of each level, the last ones, are inferred on the way up."""
        return [level.bottom_up_channels for level in self.levels]

    # -- layers

    def _kernel(self, place: int) -> int:
        return 1 if place == len(self.map_sizes) else 3

    def _blocks(self, place: int, number: int) -> list[GatedBlock]:
        # Of all blocks of a network together about as much is added as there was.
        gain = (len(self.levels) * self.num_blocks) ** -0.5
        kernel, policy = self._kernel(place), self.dtype_policy
        return [GatedBlock(self.channels, kernel, gain, dtype=policy) for _ in range(number)]

    def _convolution(
        self, filters: int, kernel_size: int | tuple[int, int], **kwargs: Any
    ) -> WeightNormConv:
        return WeightNormConv(filters, kernel_size, dtype=self.dtype_policy, **kwargs)

    def _activated(
        self, *convolutions: WeightNormConv, rematerialize: bool | None = None
    ) -> Activated:
        """Inside of a chain, which is computed again as a whole, not to be so once more."""
        again = self.rematerialize if rematerialize is None else rematerialize
        return Activated(list(convolutions), rematerialize=again, dtype=self.dtype_policy)

    def _parameters(self, level: Level, num_outputs: int, *hidden: int) -> Activated:
        kernel = self._kernel(level.place)
        layers = [self._convolution(channels, kernel) for channels in hidden]
        last = self._convolution(num_outputs, kernel, gain=_PARAMETERS_GAIN)
        return self._activated(*layers, last)

    def _chain(self, layers: list[keras.layers.Layer]) -> Chain:
        # Nothing is saved where there is nothing to compute.
        again = self.rematerialize and bool(layers)
        return Chain(layers, rematerialize=again, dtype=self.dtype_policy)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ["image_shape", "latent_size", "channels", "latents", "latent_channels"]
        names += ["num_blocks", "stochastic_bottom_up", "rematerialize"]
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _pairs(latents: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """The pairs, checked."""
    message = (
        "latents must be pairs (resolution, count) of whole numbers from 1, the resolutions "
        f"falling to 1, that of vectors; got {latents!r}"
    )
    try:
        pairs = tuple((resolution, count) for resolution, count in latents)
    except (TypeError, ValueError):
        raise ValueError(message) from None
    whole = all(_is_whole(number) for pair in pairs for number in pair)
    if not whole or not pairs or pairs[-1][0] != 1:
        raise ValueError(message)
    if any(coarser >= finer for (finer, _), (coarser, _) in itertools.pairwise(pairs)):
        raise ValueError(message)
    return pairs


def _is_whole(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= 1


def _require_whole(name: str, value: object) -> None:
    if not _is_whole(value):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
