"""Figures of elements gathered over the batches of a data set, and what they amount to.

The images are independent of one another, their elements are not. So every figure is a mean over
images, or a ratio of such means, and standard errors are over images.
"""

from collections.abc import Mapping

import numpy as np

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS
from tf_sigma_vae.evaluation import estimate
from tf_sigma_vae.evaluation.estimate import Estimate

NOMINAL = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Coverages of the central intervals."""
PIT_BINS = 20
INTENSITY_BINS = 16
SCALE_BINS = 16
DATA_UNIT = "data"

ROUNDING_VARIANCE = 1.0 / (12.0 * (GREY_LEVELS - 1) ** 2)
"""Variance of a value that is known to its grey level only, in the unit of the data."""
SMALLEST_SCALE = 1e-3 / (GREY_LEVELS - 1)
"""A thousandth of a grey level: below it a residual over its scale is a rounding error."""


class Tally:
    """The figures of all images so far; `add` takes those of a batch."""

    def __init__(self) -> None:
        self._by_image: dict[str, list[np.ndarray]] = {}
        self._by_element: dict[str, np.ndarray] = {}

    @property
    def num_images(self) -> int:
        """Images so far."""
        return sum(map(len, self._by_image.get("squared", [])))

    def add(self, figures: Mapping[str, np.ndarray]) -> None:
        """Adds a batch.

        Args:
          figures: Of `elements.figures`, float64 `[B, H, W, C]` each.

        Raises:
          FloatingPointError: If one is not finite; the message names it and the image.
        """
        for name, values in figures.items():
            good = np.all(np.isfinite(values), axis=(1, 2, 3))
            if not np.all(good):
                image = self.num_images + int(np.argmin(good))
                raise FloatingPointError(f"the {name} of image {image} is not finite")
        residual, variance, pit = (
            figures["x"] - figures["mean"],
            figures["variance"],
            figures["pit"],
        )
        squared, scale = residual**2, np.sqrt(variance)
        covered = np.abs(pit - 0.5) <= 0.5 * NOMINAL[2]
        by_element = {"squared": squared, "variance": variance, "covered": covered}
        for name, values in by_element.items():
            total = values.sum(axis=0, dtype=np.float64)
            self._by_element[name] = self._by_element.get(name, 0.0) + total
        axes = (1, 2, 3)
        # Of levels, on which float64 is exact.
        at_ends = (figures["x"] <= 0.0) | (figures["x"] >= 1.0)
        covered_8bit = np.abs(figures["pit_8bit"] - 0.5) <= 0.5 * NOMINAL[2]
        by_image = {f"channel_{name}": v.mean(axis=(1, 2)) for name, v in by_element.items()}
        by_image |= {"squared": squared.mean(axis=axes), "variance": variance.mean(axis=axes)}
        by_image["coverage"] = np.stack(
            [np.mean(np.abs(pit - 0.5) <= 0.5 * part, axis=axes) for part in NOMINAL], axis=1
        )
        by_image["coverage_8bit_90"] = covered_8bit.mean(axis=axes)
        by_image["share_at_ends"] = at_ends.mean(axis=axes)
        by_image["pit"] = pit.mean(axis=axes)
        by_image["pit_square"] = np.square(pit).mean(axis=axes)
        ones = np.ones_like(pit)
        by_image["pit_share"] = _sums(_place(pit, PIT_BINS), PIT_BINS, ones) / pit[0].size
        by_image["stddev"] = scale.mean(axis=axes)
        if np.min(scale) >= SMALLEST_SCALE:
            by_image["standardized"] = np.mean(squared / variance, axis=axes)
        place = _place(figures["mean"], INTENSITY_BINS)
        weights = (ones, squared, variance, covered)
        sums = [_sums(place, INTENSITY_BINS, values) for values in weights]
        by_image["intensity"] = np.stack(sums, axis=-1)
        for name in ("crps", "width"):
            if name in figures:
                by_image[name] = figures[name].mean(axis=axes)
        # What the correlation between elements is made of; half the memory is precise enough.
        known = np.sqrt(variance + ROUNDING_VARIANCE)
        by_image["residual"] = (residual / known).astype(np.float32)
        by_image["scale"] = scale.astype(np.float32)
        for name, values in by_image.items():
            self._by_image.setdefault(name, []).append(values)

    def column(self, name: str) -> np.ndarray:
        """A figure of every image, `[N, ...]`."""
        return np.concatenate(self._by_image[name])

    def maps(self) -> dict[str, np.ndarray]:
        """Figures of every element over the images, float64 `[H, W, C]`; NaN where undefined."""
        squared, variance = self._by_element["squared"], self._by_element["variance"]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(variance > 0, squared / variance, np.nan)
        return {
            "variance_ratio": ratio,
            "coverage_90": self._by_element["covered"] / self.num_images,
        }

    def residuals(self) -> np.ndarray:
        """Residuals of every image in the unit of the data, float32 `[N, H, W, C]`."""
        known = np.sqrt(np.square(self.column("scale")) + np.float32(ROUNDING_VARIANCE))
        return self.column("residual") * known

    def metrics(self, num_over_levels: int) -> dict[str, Estimate]:
        """The metrics of single elements, by name.

        Args:
          num_over_levels: Images that count for CRPS and width.
        """
        found = {}
        squared, variance = self.column("squared"), self.column("variance")
        if np.any(variance > 0):
            found["variance_ratio"] = ratio("variance_ratio", squared, variance)
        if len(self._by_image.get("standardized", [])) == len(self._by_image["squared"]):
            name = "standardized_variance"
            found[name] = estimate.mean(name, self.column("standardized"), "1")
        for part, row in zip(NOMINAL, self.coverage(), strict=True):
            name = f"coverage_{100 * part:.0f}"
            found[name] = Estimate(row["value"], row["standard_error"], "1")
        for name in ("coverage_8bit_90", "share_at_ends"):
            found[name] = estimate.mean(name, self.column(name), "1")
        first = {name: self.column(name)[:num_over_levels] for name in ("crps", "width")}
        found["crps"] = estimate.mean("crps", first["crps"], DATA_UNIT)
        stddev = self.column("stddev")
        found["sharpness_stddev"] = estimate.mean("sharpness_stddev", stddev, DATA_UNIT)
        found["sharpness_90"] = estimate.mean("sharpness_90", first["width"], DATA_UNIT)
        pit, square = self.column("pit"), self.column("pit_square")
        found["pit_mean"] = estimate.mean("pit_mean", pit, "1")
        # To first order the variance changes by an image's part less twice the mean's.
        spread = estimate.mean("pit_variance", square - 2.0 * pit.mean() * pit, "1")
        value = float(square.mean() - pit.mean() ** 2)
        found["pit_variance"] = spread._replace(value=value)
        return found

    def coverage(self) -> list[dict[str, float]]:
        """Share of elements inside each central interval."""
        rows = []
        for part, column in zip(NOMINAL, self.column("coverage").T, strict=True):
            found = estimate.mean("coverage", column, "1")
            rows.append({"nominal": part} | _named("value", found, "standard_error"))
        return rows

    def pit(self) -> dict[str, list[float]]:
        """Histogram of the PIT."""
        shares = [estimate.mean("pit", column, "1") for column in self.column("pit_share").T]
        return {
            "edges": np.linspace(0.0, 1.0, PIT_BINS + 1).tolist(),
            "share": [share.value for share in shares],
            "standard_error": [share.standard_error for share in shares],
        }

    def by_channel(self) -> list[dict[str, float | None]]:
        """The figures of each channel."""
        names = ("squared", "variance", "covered")
        columns = [self.column(f"channel_{name}").T for name in names]
        rows = []
        for channel, (squared, variance, covered) in enumerate(zip(*columns, strict=True)):
            row: dict[str, float | None] = {"channel": channel, "variance_ratio": None}
            if np.any(variance > 0):
                row |= _named("variance_ratio", ratio("variance_ratio", squared, variance))
            row |= _named("coverage_90", estimate.mean("coverage_90", covered, "1"))
            row |= _root_mean_squares(np.ones_like(squared), squared, variance)
            rows.append(row)
        return rows

    def by_intensity(self) -> list[dict[str, float]]:
        """The figures by predicted mean; bins without an element are left out."""
        edges = np.linspace(0.0, 1.0, INTENSITY_BINS + 1)
        rows = []
        for number, columns in enumerate(np.moveaxis(self.column("intensity"), 1, 0)):
            count, squared, variance, covered = columns.T
            if count.sum() == 0:
                continue
            row = {"low": edges[number], "high": edges[number + 1], "count": int(count.sum())}
            row |= _root_mean_squares(count, squared, variance)
            rows.append(row | _named("coverage_90", ratio("coverage_90", covered, count)))
        return rows

    def by_scale(self) -> list[dict[str, float]] | None:
        """The figures by predicted scale, in bins of as many elements; None where it is one."""
        scale = self.column("scale")
        scale = scale.reshape(len(scale), -1)
        # Rounding does not make a scale vary.
        if np.ptp(scale) <= 1e-5 * scale.max():
            return None
        variance = scale.astype(np.float64) ** 2
        squared = self.residuals().reshape(scale.shape).astype(np.float64) ** 2
        edges = np.quantile(scale, np.linspace(0.0, 1.0, SCALE_BINS + 1))
        # Where a scale is that of many elements, as of a channel, it has one bin.
        inner = np.unique(edges[1:-1])
        edges = [edges[0], *inner, edges[-1]]
        place = np.searchsorted(inner, scale, side="right")
        columns = [
            _sums(place, len(inner) + 1, weights).T
            for weights in (np.ones_like(squared), squared, variance)
        ]
        rows = []
        for number, sums in enumerate(zip(*columns, strict=True)):
            if count := int(sums[0].sum()):
                row = {"low": float(edges[number]), "high": float(edges[number + 1])}
                rows.append(row | {"count": count} | _root_mean_squares(*sums))
        return rows


def ratio(
    name: str, numerators: np.ndarray, denominators: np.ndarray, groups: np.ndarray | None = None
) -> Estimate:
    """Ratio of means over images, with the standard error of the delta method.

    Args:
      name: Of the metric.
      numerators: `[N]`.
      denominators: `[N]`, their sum not 0.
      groups: As of `estimate.mean`.
    """
    middle = np.mean(denominators)
    value = np.mean(numerators) / middle
    deviations = estimate.mean(name, (numerators - value * denominators) / middle, "1", groups)
    return deviations._replace(value=float(value))


def _root_mean_squares(
    count: np.ndarray, squared: np.ndarray, variance: np.ndarray
) -> dict[str, float]:
    """RMS of residuals and of scales, given sums (or means) of each image `[N]`."""
    mean_square = ratio("rms_residual", squared, count)
    value = float(np.sqrt(mean_square.value))
    error = 0.5 * mean_square.standard_error / value if value > 0 else 0.0
    residual = Estimate(value, error, DATA_UNIT)
    scale = float(np.sqrt(np.sum(variance) / np.sum(count)))
    return _named("rms_residual", residual) | {"rms_scale": scale}


def _named(name: str, found: Estimate, error: str | None = None) -> dict[str, float]:
    return {name: found.value, error or f"{name}_standard_error": found.standard_error}


def _place(values: np.ndarray, num_bins: int) -> np.ndarray:
    """Number of the bin of each value, of equal bins of [0, 1]; the end bins hold what is off."""
    return np.clip(values * num_bins, 0, num_bins - 1).astype(np.int64)


def _sums(place: np.ndarray, num_bins: int, weights: np.ndarray) -> np.ndarray:
    """Sums of the weights in each bin, of each image: `[B, bins]`."""
    offset = num_bins * np.arange(len(place)).reshape(-1, *[1] * (place.ndim - 1))
    size = num_bins * len(place)
    found = np.bincount((place + offset).ravel(), weights.ravel(), minlength=size)
    return found.reshape(len(place), num_bins)
