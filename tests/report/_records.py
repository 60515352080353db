"""Records as the measures of runs would be, made up: what a page is tested with."""

import numpy as np
from PIL import Image

from tf_sigma_vae.config import Config
from tf_sigma_vae.report import Content, Run, Sweep

IMAGE_SHAPE = (6, 7, 3)
LATENT_SIZE = 5
NUM_EXAMPLES, NUM_TRAIN = 400, 3000
COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
VERSIONS = {"tf-sigma-vae": "0.0", "tensorflow": "2.0"}
HOSTILE = "<script>alert('x')</script>&\"</script><img src=x onerror=alert(1)>"
"""A name that would run if it were not escaped."""

TABLE = """# digits: beta-VAEs

vae with network dense; trained for 2 epochs.

| row | seeds | -log p < (nats) |
| --- | ---: | ---: |
| beta=0.1 | 1 | -12.3 |
| gaussian_optimal <b> | 2 | -45.6 ± 0.7 |

- -log p: an upper bound, `-elbo`.
- The paper's figures are for orientation.
"""


def metric(value, standard_error=0.01, unit="nats"):
    return {"value": value, "standard_error": standard_error, "unit": unit}


def protocol(**more):
    common = {"dataset": "digits", "split": "test", "variant": "any", "step": 40}
    return {**common, "model_sha256": "0" * 64, "versions": dict(VERSIONS), **more}


def evaluation(elbo=100.0, log_scale=-2.0, measure="density"):
    metrics = {"elbo": metric(elbo, 0.5), "rate": metric(12.0), "distortion": metric(-elbo - 12.0)}
    metrics["mse"] = metric(0.01, 1e-4, "data^2")
    if log_scale is not None:
        metrics["log_scale"] = metric(log_scale, 0.0, "log data unit")
        metrics["elbo_batch_scale"] = metric(elbo + 1.0, 0.5)
    numbers = {"num_examples": NUM_EXAMPLES, "num_samples": 4, "measure": measure}
    return {"metrics": metrics, "protocol": protocol(**numbers)}


LEVEL_SHAPES, LEVEL_SHARES = ((1, 1, 5), (2, 3, 4), (3, 4, 2)), (0.7, 0.35, -0.05)
"""Of a hierarchy; where a network draws on the way up, a rate can be negative."""


def evaluation_of_levels(**given):
    """The evaluation of a hierarchy."""
    found = evaluation(**given)
    for level, share in enumerate(LEVEL_SHARES):
        found["metrics"][f"rate_level_{level}"] = metric(12.0 * share, 0.02)
    found["protocol"]["level_shapes"] = [list(shape) for shape in LEVEL_SHAPES]
    return found


def interval(lower, upper):
    bounds = {"inclusive": metric(lower + 0.1), "rate": metric(upper - 0.1)}
    return {"lower": lower, "upper": upper, "bounds": bounds, "unit": "nats"}


def information(rate=12.0, saturated=False, latent="whole"):
    shares = np.linspace(1.6, 0.4, LATENT_SIZE)
    sizes = {"num_examples": NUM_EXAMPLES, "log_num_examples": float(np.log(NUM_EXAMPLES))}
    return {
        "rate": metric(rate, 0.05),
        "rate_by_dimension": [metric(rate * share / shares.sum()) for share in shares],
        "mutual_information": interval(0.4 * rate, 0.8 * rate),
        "marginal_kl": interval(0.2 * rate, 0.6 * rate),
        "total_correlation": interval(0.0, 0.3 * rate),
        "dimension_kl": interval(0.1 * rate, 0.2 * rate),
        "active_units": metric(5.0, 0.0, "count"),
        "own_share": metric(0.2, 0.01, "1"),
        "saturated": saturated,
        "protocol": protocol(confidence=0.95, seed=0, latent=latent, **sizes),
    }


def calibration(ratio=1.1, by_scale=False, seed=0):
    rng = np.random.default_rng(seed)
    height, width, channels = IMAGE_SHAPE
    share = 1.0 + 0.2 * np.cos(np.linspace(0.0, 2.0 * ratio * np.pi, 20))
    values = {"variance_ratio": ratio, "coverage_90": 0.88, "crps": 0.02, "effective_pixels": 30.0}
    offsets = np.exp(-ratio * np.hypot(*np.mgrid[-3:4, -3:4]))
    bins = [
        {"low": low, "high": low + 0.25, "count": 500, "rms_residual": 0.1 + 0.05 * low}
        | {"rms_scale": 0.11 / ratio, "coverage_90": 0.86 + 0.05 * low}
        for low in (0.0, 0.25, 0.5)
    ]
    scales = [
        {"low": s, "high": 2 * s, "count": 9, "rms_residual": 1.2 * s, "rms_scale": s}
        for s in (0.01, 0.05, 0.2)
    ]
    ratios = rng.uniform(0.3, 3.0, (height, width, channels)).tolist()
    # Undefined: in one channel, and in all.
    ratios[0][0][0], ratios[1][2] = None, [None] * channels
    channel = {"variance_ratio": 1.0, "coverage_90": 0.9, "rms_residual": 0.1, "rms_scale": 0.1}
    return {
        "metrics": {name: metric(value, 0.002, "1") for name, value in values.items()},
        "coverage": [
            {"nominal": nominal, "value": nominal**ratio, "standard_error": 0.003}
            for nominal in COVERAGES
        ],
        "pit": {
            "edges": np.linspace(0.0, 1.0, 21).tolist(),
            "share": (share / share.sum()).tolist(),
            "standard_error": [0.002] * 20,
        },
        "by_channel": [{"channel": index, **channel} for index in range(channels)],
        "by_intensity": bins,
        "by_scale": scales if by_scale else None,
        "maps": {
            "variance_ratio": ratios,
            "coverage_90": rng.uniform(0.8, 1.0, (height, width, channels)).tolist(),
        },
        "autocorrelation": offsets.tolist(),
        "sentence": "The residuals count as 30 independent pixels of 126.",
        "protocol": protocol(num_examples=NUM_EXAMPLES, seed=0),
    }


def distances(value=7.0, num_images=500):
    source = {"image_shape": IMAGE_SHAPE, "eight_bit": True, "content_hash": "a" * 64}
    extraction = {"extractor": "saved_file", "content_hash": "5d7c1e02" + "0" * 56}
    extraction |= {"resize": "bilinear", "size": [24, 24], "input_range": [-1.0, 1.0]}
    reference = {"draw": "data", "dataset": "digits", "split": "test", "seed": None, **source}
    samples = {"draw": "mean", "dataset": None, "split": None, "seed": 0, **source}
    parts = {"extraction": extraction, "reference": {**reference, "num_images": num_images}}
    parts["samples"] = {**samples, "num_images": num_images}
    return {
        "metrics": {"frechet": metric(value, 0.2, "feature^2"), "kid": metric(0.3, 0.01, "1")},
        "labels": {"frechet": "frechet distance", "kid": "kernel distance"},
        "protocol": protocol(**parts),
    }


def history(log_scale=-2.0, elbo=100.0, shares=()):
    lines = []
    for step in (10, 20, 30, 40):
        late = 1.0 - 10.0 / step
        line = {"step": step, "elbo": elbo * late, "rate": 12.0 * late, "distortion": -elbo * late}
        line |= {f"rate_level_{i}": 12.0 * share * late for i, share in enumerate(shares)}
        if log_scale is not None:
            scale = log_scale * late
            line |= {"log_scale": scale, "beta_equivalent": 2.0 * float(np.exp(2.0 * scale))}
        lines.append({"split": "train", **line})
        if step % 20 == 0:
            lines.append({"split": "validation", **line})
    return lines


def pictures(*more):
    rng = np.random.default_rng(0)
    names = ("prior_mean", "prior_noisy", "reconstructions", *more)
    return {name: rng.integers(0, 256, (9, 12, 3), dtype=np.uint8) for name in names}


def run(name="gaussian_optimal", likelihood="gaussian_optimal", measure="density", **changes):
    """A run with all measures; one is left out by giving it as None."""
    log_scale = changes.pop("log_scale", -2.0)
    made = {
        "evaluation": evaluation(log_scale=log_scale, measure=measure),
        "information": information(),
        "calibration": calibration(),
        "distances": distances(),
        **changes.pop("measures", {}),
    }
    fields = {
        "name": name,
        "workdir": f"runs/{name}",
        "config": Config(likelihood=likelihood).to_dict(),
        "measure": measure,
        "history": history(log_scale),
        "measures": {key: value for key, value in made.items() if value is not None},
        "absent": {},
        "pictures": pictures(),
    }
    return Run(**{**fields, **changes})


def hierarchy(name="deep", **changes):
    """A run of a hierarchy with all measures."""
    measured = {"evaluation": evaluation_of_levels(), "information": information(8.4, latent="top")}
    measured |= changes.pop("measures", {})
    config = Config(model="hierarchical_vae", network="ladder32").to_dict()
    fields = {
        "config": config,
        "history": history(shares=LEVEL_SHARES),
        "pictures": pictures("levels"),
        **changes,
    }
    return run(name, measures=measured, **fields)


def content(*runs, **changes):
    """Four unlike runs of a sweep, or those that are given."""
    runs = runs or (
        run(),
        run(
            "gaussian_per_pixel",
            "gaussian_per_pixel",
            measures={"calibration": calibration(0.6, by_scale=True, seed=1)},
            log_scale=-2.5,
        ),
        run(
            "bernoulli",
            "bernoulli",
            None,
            log_scale=None,
            measures={"information": None, "distances": distances(9.0, num_images=400)},
            absent={"information": "the posterior must be Gaussian"},
        ),
        hierarchy(measures={"distances": None}),
    )
    return Content(**{"runs": runs, "split": "test", "num_train": NUM_TRAIN, **changes})


def sweep(folder):
    """A sweep with its table and a picture, of which the file is written to a folder."""
    path = folder / "rate_distortion.png"
    Image.new("RGB", (40, 20), "white").save(path)
    return Sweep("sweep", TABLE, {"rate_distortion": path.read_bytes()})
