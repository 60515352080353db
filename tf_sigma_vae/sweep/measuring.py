"""What a sweep measures of its runs beside the evaluation: information, and distances of samples.

Each measure is kept in the workdir of its run, so a sweep that was killed makes none twice.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from tf_sigma_vae.evaluation import fid, measures
from tf_sigma_vae.evaluation._posteriors import MIN_EXAMPLES, MIN_EXAMPLES_PER_DIMENSION
from tf_sigma_vae.evaluation.fid.extractors import Extractor
from tf_sigma_vae.evaluation.runs import FinishedRun

NAMES = ("information", "distances")
"""What may be asked for; the evaluation is always made."""

FEWEST_SAMPLES = 20
"""The kernel distance takes no fewer."""


@dataclasses.dataclass(frozen=True)
class Measuring:
    """The measures of a sweep, checked."""

    names: tuple[str, ...] = ()
    """Of `NAMES`."""
    options: measures.Options = measures.Options()
    """How they are made; the split is that of the evaluation."""
    load: Callable[[], Extractor] | None = None
    """Makes the extractor of the distances, once, when all else is checked. Without it distances
    count as made whichever extractor made them, and none can be made."""
    extractor: Extractor | None = None
    """What `load` has made."""

    def __post_init__(self) -> None:
        """Checks what can be told without data.

        Raises:
          ValueError: On an unknown measure, or an option that makes no sense.
        """
        for name in self.names:
            if name not in NAMES:
                raise ValueError(
                    f"unknown measure {name!r}; known: {', '.join(NAMES)} (the evaluation is "
                    "always made)"
                )
        self.options.check()

    def checked_on(self, split: str, images: np.ndarray, latent_size: int) -> "Measuring":
        """The same for a split, with its numbers, tried on one of its images.

        Args:
          split: Name of the split.
          images: uint8 `[N, H, W, C]`, all of the split.
          latent_size: Of the models.

        Raises:
          ValueError: If they are too few, or the extractor does not take them.
          FileNotFoundError: If there is no file of the extractor.
          ConnectionError: If it cannot be downloaded.
        """
        options = self.options._replace(split=split).resolved(len(images))
        least = max(MIN_EXAMPLES, MIN_EXAMPLES_PER_DIMENSION * latent_size)
        if "information" in self.names and options.information_examples < least:
            raise ValueError(
                f"information in {latent_size} latent dimensions needs at least {least} images, "
                f"not {options.information_examples}"
            )
        extractor = self.extractor
        if "distances" in self.names:
            if options.distance_samples < FEWEST_SAMPLES:
                raise ValueError(
                    f"distances need at least {FEWEST_SAMPLES} samples and images, not "
                    f"{options.distance_samples}"
                )
            if extractor is None and self.load is not None:
                extractor = self.load()
            if extractor is not None:
                extractor(images[:1])
        return dataclasses.replace(self, options=options, extractor=extractor)

    def require_extractor(self) -> None:
        """Checks that all measures can be made.

        Raises:
          ValueError: If distances are asked for, and there is no extractor.
        """
        if "distances" in self.names and self.extractor is None:
            raise ValueError("distances need an extractor")

    def stored(self, path: str) -> dict[str, dict]:
        """The records of a run that fit, by the name of the measure.

        Args:
          path: Workdir of a finished run.
        """
        if not self.names:
            return {}
        run = FinishedRun(path)
        extraction = None if self.extractor is None else self.extractor.extraction
        found = {name: measures.stored(run, name, self.options, extraction) for name in self.names}
        return {name: each for name, each in found.items() if each is not None}

    def missing(self, path: str) -> list[str]:
        """Names of the measures that a finished run lacks."""
        found = self.stored(path)
        return [name for name in self.names if name not in found]

    def make(self, path: str, data_dir: str | None, download: bool) -> None:
        """Makes what a finished run lacks.

        Args:
          path: Its workdir.
          data_dir: Where the data are.
          download: Whether missing data may be downloaded.

        Raises:
          ValueError: On a model that a measure is not valid for.
          FloatingPointError: If a figure is not finite.
          OSError: If a record cannot be written.
        """
        for name in self.missing(path):
            # No bar in a log file.
            with tqdm(desc=name, unit="image", file=sys.stderr, disable=None) as bar:
                measures.obtain(
                    FinishedRun(path),
                    name,
                    self.options,
                    self.extractor,
                    data_dir,
                    download,
                    bar.update,
                )


def require_comparable(records: Sequence[dict]) -> None:
    """Checks that the distances of runs may stand in one table.

    Args:
      records: Contents of `distances.json`.

    Raises:
      ProtocolMismatchError: If two were not measured alike; the message names the fields.
    """
    protocols = [protocol_of(record) for record in records]
    for other in protocols[1:]:
        fid.require_comparable(protocols[0], other)


def protocol_of(record: dict) -> fid.Protocol:
    """The protocol of the distances in a record."""
    parts = ("extraction", "reference", "samples")
    return fid.Protocol.from_dict({part: record["protocol"][part] for part in parts})
