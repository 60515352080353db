"""What `model_rollouts` found: curves over the future steps, their averages, and how they came."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_sigma_vae.evaluation import clips, elbo, estimate
from tf_sigma_vae.evaluation.calibration import tally
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.rollouts import widths

INTERVAL = 1.96
"""Standard errors on either side of a value that hold 95 % of a normal estimate."""
RATIO = "variance_ratio"
UNITS = {
    "psnr": "dB",
    "ssim": "1",
    "elbo": elbo.UNIT,
    "rate": elbo.UNIT,
    "distortion": elbo.UNIT,
    widths.COVERAGE: "1",
    RATIO: "1",
}
"""Metrics and their units at a step, in the order of files."""
KINDS = ("best", "mean", "mean_rollout", "posterior", "rollout", "copy")
"""What the metrics are of, in the order of files; see `CONVENTIONS`."""

CONVENTIONS = {
    "steps": "number of the predicted frame after the context, from 1; the context owes nothing",
    "best": "of num_rollouts rollouts of a clip, z from the prior and mean frames fed back, the "
    "one with the highest mean over steps by the same metric (SVG's protocol); it rises with their "
    "number",
    "mean": "over these rollouts",
    "mean_rollout": "of the rollout along the means of the prior",
    "posterior": "of p(x|z) with z ~ q(z|x), after the true frames: one step ahead",
    "rollout": "of p(x|z) along the first of the rollouts",
    "copy": "of the last context frame, shown at every step",
    "psnr": f"of mean frames in [0, 1], each at most {clips.MAX_PSNR:.2f} dB, the error of "
    "rounding to 8 bits; averaged over clips",
    "ssim": "Gaussian windows of 11x11, standard deviation 1.5; see evaluation.frame_quality",
    "elbo, rate, distortion": "nats of the predicted frame; the frames of a clip sum to its own "
    "but where a scale is integrated out over the whole clip",
    widths.COVERAGE: "share of elements in the central interval of 90 %: see calibration, of whose "
    "PIT it is, with the seed's randomization",
    RATIO: "mean squared residual over mean predicted variance",
    "standard_error": "over videos, whose clips are not independent; low and high are 1.96 of them "
    "from the value. Between kinds the clips are the same: differences are better known",
}


def summarize(
    found: Mapping[str, Mapping[str, np.ndarray]],
    squares: Mapping[str, tuple[np.ndarray, np.ndarray]],
    videos: np.ndarray,
) -> dict[str, Any]:
    """Curves over steps and their averages; fit for JSON.

    Args:
      found: By metric and kind, `[N, n]`: of N clips at n steps.
      squares: By kind, mean squared residuals and mean variances `[N, n]`.
      videos: `[N]`, the number of the video of each clip, of at least 2.

    Returns:
      Dictionary of `metrics`, `steps`, `curves` and `units`.

    Raises:
      FloatingPointError: If a figure is not finite; the message names it.
    """
    curves: dict[str, dict[str, dict[str, list[float]]]] = {}
    metrics: dict[str, Estimate] = {}
    for metric in UNITS:
        if metric not in found:
            continue
        curves[metric] = {}
        for kind in KINDS:
            if kind not in found[metric]:
                continue
            values = found[metric][kind]
            name = f"{metric}_{kind}"
            at_steps = [estimate.mean(name, v, UNITS[metric], videos) for v in values.T]
            curves[metric][kind] = _curve(at_steps)
            unit = clips.UNIT_PER_FRAME if UNITS[metric] == elbo.UNIT else UNITS[metric]
            over_steps = values.mean(axis=1, dtype=np.float64)
            metrics[name] = estimate.mean(name, over_steps, unit, videos)
    ratios = {kind: pair for kind, pair in squares.items() if np.all(pair[1].any(axis=0))}
    if ratios:
        curves[RATIO] = {}
    for kind, (squared, variance) in ratios.items():
        name = f"{RATIO}_{kind}"
        steps = zip(squared.T, variance.T, strict=True)
        at_steps = [tally.ratio(name, *each, groups=videos) for each in steps]
        curves[RATIO][kind] = _curve(at_steps)
        metrics[name] = tally.ratio(name, squared.mean(axis=1), variance.mean(axis=1), videos)
    num_steps = next(iter(next(iter(found.values())).values())).shape[1]
    return {
        "metrics": {name: value._asdict() for name, value in metrics.items()},
        "steps": list(range(1, num_steps + 1)),
        "curves": curves,
        "units": {metric: UNITS[metric] for metric in curves},
    }


def _curve(estimates: list[Estimate]) -> dict[str, list[float]]:
    """The values of a curve and the ends of their intervals."""
    values = np.array([each.value for each in estimates])
    errors = np.array([each.standard_error for each in estimates])
    return {
        "value": values.tolist(),
        "standard_error": errors.tolist(),
        "low": (values - INTERVAL * errors).tolist(),
        "high": (values + INTERVAL * errors).tolist(),
    }
