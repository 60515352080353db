"""What a calibration found, and how; as dictionaries and lists for a file."""

import math
from typing import Any, NamedTuple

import numpy as np

from tf_sigma_vae.evaluation import table
from tf_sigma_vae.evaluation.calibration import dependence, tally
from tf_sigma_vae.evaluation.estimate import Estimate

CONVENTIONS = {
    "data_unit": "[0, 1]: x = k / 255, k the 8-bit grey level",
    "posterior_draws": "one z ~ q(z|x) for each image, the one of its elbo",
    "mean, variance": "of the distribution if it is a density, else of its grey level; of coupled "
    "channels given those before; of a shared variance that is integrated out, of each element",
    "variance_ratio": "mean squared residual over mean predicted variance",
    "standardized_variance": "mean of squared residual over variance; absent if a scale is below a "
    "thousandth of a grey level",
    "coverage": "share of elements whose PIT is in the central interval: of a density its own "
    "interval, of a Gaussian the share with |residual| <= z stddev up to the rounding of x",
    "pit": "of a density G(k / 256) + v (G((k + 1) / 256) - G(k / 256)), G its CDF, for all levels "
    "k; of anything else that of coverage_8bit_90; v uniform, drawn by seed and the image",
    "coverage_8bit_90": "the same of the grey level: F(k - 1) + v (F(k) - F(k - 1)), F(-1) = 0 and "
    "F(255) = 1, so that the end levels own the tails; hardly sees the scale at share_at_ends",
    "share_at_ends": "share of elements at level 0 or 255",
    "crps": "sum over levels j of (F(j) - [k <= j])^2 / 255, of the first examples_over_levels",
    "sharpness_stddev": "mean predicted standard deviation",
    "sharpness_90": "mean width of the central 90 % interval of the grey level, in bins of 1/256",
    "bias_share": "share of the mean squared residual that is the square of the mean residual of "
    "its element, less the chance part var / N",
    "residuals": "over the predicted scale, then each element less its mean over the images and "
    "over its standard deviation; elements that vary by less than the rounding of 8 bits are left "
    "out",
    "effective_pixels": "D^2 / sum of squared correlations, from different images, without bias",
    "autocorrelation_1": "mean over the neighbors to the right and below",
    "correlation_cost": "log-likelihood that a Gaussian which predicts each residual from those "
    f"before it, up to {dependence.RADIUS} pixels away, gains over independent Gaussians of the "
    "same sizes; cross-fitted",
    "standard_error": "over images; effective_pixels by delete-one jackknife; that and bias_share "
    "1.4 times too large where there is no correlation, or no bias",
}


class Calibration(NamedTuple):
    """What `model_calibration` found, and how. `to_dict` makes it fit for JSON."""

    metrics: dict[str, Estimate]
    """variance_ratio, standardized_variance, coverage_50 ... coverage_99, coverage_8bit_90,
    share_at_ends, crps, sharpness_stddev, sharpness_90, pit_mean, pit_variance (1/12 if
    calibrated), bias_share, effective_pixels, autocorrelation_1, correlation_cost; what a head does
    not have is absent."""
    coverage: list[dict[str, float]]
    """Rows of nominal, value, standard_error: of a density's own intervals, as everywhere here but
    in `coverage_8bit_90`."""
    pit: dict[str, list[float]]
    """Histogram: edges, share, standard_error."""
    by_channel: list[dict[str, float | None]]
    """Rows of channel, variance_ratio, coverage_90, rms_residual, rms_scale."""
    by_intensity: list[dict[str, float]]
    """Rows of low, high, count, rms_residual, rms_scale, coverage_90, by predicted mean."""
    by_scale: list[dict[str, float]] | None
    """Rows of low, high, count, rms_residual, rms_scale, by predicted scale; None where it is the
    same for all elements."""
    maps: dict[str, np.ndarray]
    """variance_ratio and coverage_90 of each element, `[H, W, C]`; NaN where undefined."""
    autocorrelation: np.ndarray
    """`[2 m + 1, 2 m + 1]`, by the offset of rows and columns; 1 in the middle."""
    sentence: str
    """What the correlation of residuals means for the likelihood."""
    protocol: dict[str, object]
    """What the figures depend on."""


def to_dict(calibration: Calibration) -> dict[str, object]:
    """The record as dictionaries, lists and numbers, as `json.dumps` takes them; NaN as None."""

    def plain(value: Any) -> Any:
        if isinstance(value, Estimate):
            value = value._asdict()
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return plain(calibration._asdict())


def summarize(found: tally.Tally, num_over_levels: int, protocol: dict) -> Calibration:
    """All that follows from the figures of a data set.

    Args:
      found: The figures.
      num_over_levels: Images that count for CRPS and sharpness_90.
      protocol: What the figures depend on; completed here.
    """
    in_data_unit = found.residuals()
    variance = np.var(in_data_unit, axis=0, dtype=np.float64, ddof=1)
    rounding = tally.ROUNDING_VARIANCE / np.maximum(variance, tally.ROUNDING_VARIANCE)
    residuals = dependence.standardize(found.column("residual"), rounding)
    metrics = found.metrics(num_over_levels)
    correlations, neighbors = dependence.autocorrelation(residuals)
    of_residuals = {
        "bias_share": dependence.bias_share(in_data_unit),
        "effective_pixels": dependence.effective_pixels(residuals),
        "autocorrelation_1": neighbors,
        "correlation_cost": dependence.correlation_cost(residuals),
    }
    metrics |= {name: value for name, value in of_residuals.items() if value is not None}
    protocol = {
        "num_examples": found.num_images,
        "examples_over_levels": num_over_levels,
        "image_shape": list(variance.shape),
        "active_elements": int(residuals.is_active.sum()),
        **protocol,
        "conventions": CONVENTIONS,
    }
    return Calibration(
        metrics=metrics,
        coverage=found.coverage(),
        pit=found.pit(),
        by_channel=found.by_channel(),
        by_intensity=found.by_intensity(),
        by_scale=found.by_scale(),
        maps=found.maps(),
        autocorrelation=correlations,
        sentence=sentence(metrics, variance.size, protocol["active_elements"]),
        protocol=protocol,
    )


def sentence(metrics: dict[str, Estimate], num_dims: int, num_active: int) -> str:
    """What the correlation of residuals means for a likelihood that takes them for independent.

    Both figures are those of Gaussian residuals with the correlations found, whatever the head's
    distribution. The gain can be negative, by chance and by the cost of fitting the weights to few
    images; up to two standard errors it counts as none.

    Args:
      metrics: Of a calibration.
      num_dims: D, the elements of an image.
      num_active: How many of them have residuals that vary beyond the rounding of 8 bits.
    """
    count = f"The likelihood counts the {num_dims} residuals of an image as independent"
    if not {"effective_pixels", "correlation_cost"} <= set(metrics):
        return f"{count}; too few images, or residuals that vary, to tell whether they are."
    effective, gain = metrics["effective_pixels"], metrics["correlation_cost"]
    active = "" if num_active == num_dims else f" (of {num_active} that vary)"
    text = (
        f"{count}. As far as a common scale of Gaussian residuals goes, they tell as much, each "
        f"about its own mean and over its own size, as {table.number(effective)} independent ones"
        f"{active}: of such a scale log p counts its evidence {num_dims / effective.value:.3g} "
        "times over."
    )
    if gain.value <= 2.0 * gain.standard_error:
        return (
            f"{text} Taken for Gaussian, they show no gain from predicting each from those before "
            f"it ({table.number(gain)} nats/image)."
        )
    bits = gain.value / (num_dims * math.log(2.0))
    return (
        f"{text} Taken for Gaussian, residuals with these correlations would score about "
        f"{table.number(gain)} nats/image ({bits:.3g} bits/dim) higher if each were predicted from "
        "those before it."
    )
