"""Records as the measures of models of videos would be, made up; see `_records`."""

import numpy as np

from tests.report import _records
from tests.report._records import metric
from tf_sigma_vae import animation
from tf_sigma_vae.config import Config

STEPS, CONTEXT = 8, 2
KINDS = {
    "psnr": ("best", "mean", "mean_rollout", "posterior", "copy"),
    "ssim": ("best", "mean", "mean_rollout", "posterior", "copy"),
    "elbo": ("posterior",),
    "rate": ("posterior",),
    "distortion": ("posterior",),
    "coverage_90": ("posterior", "rollout"),
    "variance_ratio": ("posterior", "rollout"),
}
LEVELS = {"psnr": 24.0, "ssim": 0.9, "elbo": 500.0, "rate": 9.0, "distortion": -509.0}
UNITS = {"psnr": "dB", "ssim": "1", "coverage_90": "1", "variance_ratio": "1"}


def curve(level, place):
    values = level * (1.0 - 0.1 * place) / np.sqrt(np.arange(1, STEPS + 1))
    error = np.full(STEPS, 0.01 * abs(level))
    ends = {"low": values - 2.0 * error, "high": values + 2.0 * error}
    lists = {"value": values, "standard_error": error, **ends}
    return {name: each.tolist() for name, each in lists.items()}


def rollouts(better=1.0, absent=(), **more):
    """A record of rollouts, without the quantities that are absent."""
    curves = {
        quantity: {
            kind: curve(better * LEVELS.get(quantity, 0.9), place)
            for place, kind in enumerate(kinds)
        }
        for quantity, kinds in KINDS.items()
        if quantity not in absent
    }
    metrics = {
        f"{quantity}_{kind}": metric(np.mean(line["value"]), 0.1, UNITS.get(quantity, "nats"))
        for quantity, kinds in curves.items()
        for kind, line in kinds.items()
    }
    numbers = {"num_rollouts": 20, "num_clips": 16, "clip_length": CONTEXT + STEPS, "seed": 0}
    return {
        "metrics": metrics,
        "steps": list(range(1, STEPS + 1)),
        "curves": curves,
        "units": {quantity: UNITS.get(quantity, "nats") for quantity in curves},
        "absent": dict.fromkeys(absent, "the frames are too small"),
        "protocol": _records.protocol(context_frames=CONTEXT, **numbers, **more),
    }


def evaluation(elbo=4000.0):
    found = _records.evaluation(elbo)
    for name in ("elbo", "rate", "distortion"):
        value = found["metrics"][name]["value"] / STEPS
        found["metrics"][f"{name}_per_frame"] = metric(value, 0.05, "nats/frame")
    found["metrics"]["beta_equivalent"] = metric(0.0366, 1e-4, "data^2")
    found["metrics"]["bits_per_dim_mass"] = metric(1.25, 0.01, "bits/dim")
    frames = {"clip_length": CONTEXT + STEPS, "context_frames": CONTEXT, "horizon": STEPS}
    found["protocol"] |= {**frames, "num_clips": 16}
    return found


def film(num_frames=3, side=24):
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, side, 2 * side, 3), np.uint8)
    return animation.gif(frames)


def video_run(name="svg", train_frames=6, **changes):
    """A run of a model of videos with all measures; one is left out by giving it as None."""
    measured = dict.fromkeys(("information", "calibration", "distances"))
    measured |= {"evaluation": evaluation(), "rollouts": rollouts(), **changes.pop("measures", {})}
    config = Config(dataset="moving_mnist", model="sequence_vae", network="dcgan64").to_dict()
    pixels = np.random.default_rng(1).integers(0, 256, (90, 300, 3), np.uint8)
    lines = [{**line, "elbo_per_frame": line["elbo"] / STEPS} for line in _records.history()]
    fields = {
        "config": {**config, "train_frames": train_frames, "eval_frames": CONTEXT + STEPS},
        "history": lines,
        "pictures": {"strips": pixels, "one_step": pixels[:40]},
        "film": film(),
        "of_videos": True,
        **changes,
    }
    return _records.run(name, measures=measured, **fields)


def content(*runs, **changes):
    """Two runs of videos, or those that are given."""
    other = {"rollouts": rollouts(0.9), "evaluation": evaluation(3900.0)}
    runs = runs or (video_run(), video_run("gaussian_optimal", measures=other))
    return _records.content(*runs, **changes)
