"""What a distance depends on: the record that travels with every number, and who may compare.

Two published figures of one model differ by tens for another resizing or sample count alone. A
distance without its protocol is not a result.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

FID_EXTRACTOR = "inception_2015"
FID_GRAPH_SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"
"""Of `classify_image_graph_def.pb` (95,673,916 bytes), of the archive inception-2015-12-05."""

DRAWS = ("data", "mean", "noisy")
LABELS = {
    "frechet": ("FID", "frechet distance"),
    "frechet_extrapolated": (
        "FID extrapolated to infinitely many images",
        "frechet distance extrapolated to infinitely many images",
    ),
    "kid": ("KID", "kernel distance"),
}
"""Names of the distances in print: with the extractor of FID, and with any other."""

OF_IMAGES, OF_FRAMES, OF_CLIPS = "images", "frames of rollouts", "clips"
"""What is compared; of videos the frames that follow a context, or whole clips."""

_MAY_DIFFER = ("samples.seed", "samples.content_hash")


class ProtocolMismatchError(ValueError):
    """Figures or features that cannot be compared; the message names the fields that differ."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """How features were made from images."""

    extractor: str
    """Name of the plug-in."""
    content_hash: str
    """SHA-256, hexadecimal, of the network."""
    resize: str
    """Method, and where it is done."""
    size: tuple[int, int] | None
    """(height, width) that images are resized to; None where the network alone knows."""
    input_range: tuple[float, float]
    """What the grey levels 0 and 255 are mapped to before the network."""

    def __post_init__(self) -> None:
        for name in ("size", "input_range"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))

    @property
    def is_fid(self) -> bool:
        """Whether distances of these features may be called FID: by the network's content."""
        return (self.extractor, self.content_hash) == (FID_EXTRACTOR, FID_GRAPH_SHA256)

    @property
    def label(self) -> str:
        """A short name: that of the plug-in and the first digits of the hash."""
        return f"{self.extractor} {self.content_hash[:8]}"


@dataclasses.dataclass(frozen=True)
class Source:
    """Which images."""

    draw: str
    """"data" for a dataset; "mean" or "noisy" for samples of a model, without and with the
    decoder's noise."""
    num_images: int
    image_shape: tuple[int, ...]
    """(H, W, C), before any resizing; (T, H, W, C) of clips."""
    eight_bit: bool
    """Whether they are rounded to 8 bits."""
    dataset: str | None = None
    split: str | None = None
    seed: int | None = None
    content_hash: str | None = None
    """SHA-256, hexadecimal, of the pixels in their order; None until they are read."""
    what: str = OF_IMAGES
    """What each of the images is: see `OF_IMAGES`."""

    def __post_init__(self) -> None:
        if self.draw not in DRAWS:
            raise ValueError(f"draw must be one of {', '.join(DRAWS)}, got {self.draw!r}")
        object.__setattr__(self, "image_shape", tuple(self.image_shape))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Of a distance between samples and a reference set."""

    extraction: Extraction
    reference: Source
    samples: Source

    def label(self, metric: str) -> str:
        """The name of a distance in print. Only the network of 2015 gives FID.

        Args:
          metric: One of `LABELS`.

        Returns:
          For example "FID", or "frechet distance (saved_file 5d7c1e02)"; of videos "frechet
          distance of frames of rollouts (saved_file 5d7c1e02)".
        """
        fid, other = LABELS[metric]
        name = fid if self.extraction.is_fid else other
        if self.samples.what != OF_IMAGES:
            name = f"{name} of {self.samples.what}"
        return name if self.extraction.is_fid else f"{name} ({self.extraction.label})"

    def to_dict(self) -> dict[str, Any]:
        """The record as a dictionary fit for JSON; `from_dict` is the inverse."""
        found = _whole(self)
        for source in ("reference", "samples"):
            if found[source]["what"] == OF_IMAGES:
                del found[source]["what"]
        return found

    @classmethod
    def from_dict(cls, record: dict) -> "Protocol":
        """The protocol that a dictionary holds.

        Raises:
          KeyError: If a part is missing.
          TypeError: If a field is missing or unknown.
        """
        return cls(
            Extraction(**record["extraction"]),
            Source(**record["reference"]),
            Source(**record["samples"]),
        )


def require_comparable(first: Protocol, second: Protocol) -> None:
    """Checks that two distances were measured alike, so that the smaller one is the better.

    The samples may differ in their seed, and in themselves; nothing else may, the number of images
    included, on which the bias depends.

    Raises:
      ProtocolMismatchError: If not; the message names the fields and both values.
    """
    _require_no_difference("these distances cannot be compared", _whole(first), _whole(second))


def _whole(protocol: Protocol) -> dict[str, Any]:
    """Every field of a protocol, as JSON has it."""
    return json.loads(json.dumps(dataclasses.asdict(protocol)))


def require_same_extraction(
    reference: tuple[Extraction, Source], samples: tuple[Extraction, Source]
) -> None:
    """Checks that two sets of features have a distance: same network, same size of the images.

    Raises:
      ProtocolMismatchError: If not; the message names the fields and both values.
    """
    records = [
        {**dataclasses.asdict(extraction), "image_shape": source.image_shape}
        for extraction, source in (reference, samples)
    ]
    _require_no_difference("reference and samples were not measured alike", *records)


def _require_no_difference(what: str, first: dict, second: dict) -> None:
    found = [line for line in _differences(first, second)]
    if found:
        raise ProtocolMismatchError(f"{what}: " + "; ".join(found))


def _differences(first: dict, second: dict, prefix: str = "") -> Iterator[str]:
    """Yields "field: value != value" for each field that must agree and does not."""
    for name, value in first.items():
        field, other = prefix + name, second[name]
        if isinstance(value, dict):
            yield from _differences(value, other, f"{field}.")
        elif value != other and field not in _MAY_DIFFER:
            yield f"{field}: {value!r} != {other!r}"
