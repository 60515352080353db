"""What every likelihood's export must answer, computed with the Python model, eagerly.

Nothing here looks at the signatures: the values come from the model's own methods, from the
distributions they give and from `noise`, as a user of the library would compute them.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests._models import LATENT_SIZE, images, set_weights, tiny_vae
from tf_sigma_vae import noise, plugins

tfd = tfp.distributions

NUM_ROWS = 64
DENSE_SHAPE = (4, 6, 3)
# Variant: likelihood, image shape, network.
VARIANTS = {name: (name, DENSE_SHAPE, "dense") for name in plugins.names("likelihoods")}
VARIANTS["conv28"] = ("gaussian_optimal", (28, 28, 1), "conv28")
NUM_VALIDATION = 9
_Z_STREAM, _IMAGE_STREAM = 0, 1
_LARGEST_Z_SCORE = 4.0


def build(variant):
    """The model of a variant: weights that make its outputs differ, a calibrated scale."""
    likelihood, shape, network = VARIANTS[variant]
    # Small in the deep network, where large weights make numbers that no image has.
    model = set_weights(
        tiny_vae(likelihood, shape, network), scale=0.3 if network == "dense" else 0.1
    )
    model.calibrate(images(20, shape, seed=5))
    rng = np.random.default_rng(4)
    for weight in model.likelihood.trainable_weights:
        weight.assign(rng.normal(-1.0, 0.3, size=weight.shape))
    return model


def inputs(variant):
    """One array of `NUM_ROWS` rows for each name of an input."""
    shape, rng = VARIANTS[variant][1], np.random.default_rng(3)
    x = images(NUM_ROWS, shape, seed=1)
    seed = rng.integers(-(2**31), 2**31, size=(NUM_ROWS, 2), dtype=np.int64).astype(np.int32)
    files = np.empty(NUM_ROWS, object)
    for row, pixels in enumerate((images(NUM_ROWS, shape, seed=2) * 255).round().astype(np.uint8)):
        # Both kinds in one request.
        encode = tf.io.encode_jpeg if row % 3 == 1 else tf.io.encode_png
        files[row] = encode(pixels).numpy()
    z = rng.normal(size=(NUM_ROWS, LATENT_SIZE)).astype(np.float32)
    return {"images": x, "seed": seed, "z": z, "image_bytes": files}


def pixels_of_files(files):
    """Images `[B, H, W, C]` in [0, 1] of PNG and JPEG files."""
    is_png = [file.startswith(b"\x89PNG") for file in files]
    decoded = [
        (tf.io.decode_png if png else tf.io.decode_jpeg)(file).numpy()
        for file, png in zip(files, is_png, strict=True)
    ]
    return np.stack(decoded).astype(np.float32) / np.float32(255)


def goldens(variant, model, given):
    """The outputs of every signature for all rows, and the scores the p-values rest on.

    Args:
      variant: One of `VARIANTS`.
      model: Its model, of `build`.
      given: Its `inputs`.

    Returns:
      Pair `(outputs, validation_scores)`; `outputs` is `{signature: {output: array}}`, where the
      output of a PNG holds the levels 0 ... 255 before they were rounded.
    """
    head = VARIANTS[variant][0]
    x, of_files = given["images"], pixels_of_files(given["image_bytes"])
    anomaly, of_files_anomaly = _anomaly(model, x), _anomaly(model, of_files)
    validation = _between(np.concatenate([anomaly["score"], of_files_anomaly["score"]]))
    for found in (anomaly, of_files_anomaly):
        at_least = validation[np.newaxis] >= found["score"][:, np.newaxis]
        found["p_value"] = (1 + at_least.sum(axis=1)) / np.float32(1 + len(validation))
    shades = 0.5 + 0.5 * of_files_anomaly.pop("z_score") / _LARGEST_Z_SCORE
    outputs = {
        "reconstruct": _reconstruct(head, model, x),
        "encode": {"z_mean": model.encode(x).mean(), "z_scale": model.encode(x).stddev()},
        "decode": parameters(head, model.decode(given["z"])),
        "sample": _sample(model, given["seed"]),
        "elbo": elbo(model, x, given["seed"]),
        "anomaly": anomaly,
        "reconstruct_bytes": {"mean_bytes": _levels(_reconstruct(head, model, of_files)["mean"])},
        "anomaly_bytes": {**of_files_anomaly, "z_score_bytes": _levels(shades)},
    }
    outputs["serving_default"] = outputs["reconstruct"]
    arrays = {
        signature: {name: np.asarray(value) for name, value in found.items()}
        for signature, found in outputs.items()
    }
    return arrays, validation


def parameters(head, p):
    """The named parameters of the distribution of a head."""
    mean, scale = p.mean(), p.stddev()
    if head in ("gaussian_fixed", "gaussian_shared", "gaussian_optimal", "mse"):
        return {"mean": mean, "scale": scale[:, 0, 0, 0]}
    if head == "gaussian_per_channel":
        return {"mean": mean, "scale": scale[:, 0, 0]}
    if head == "gaussian_per_pixel":
        return {"mean": mean, "scale": scale}
    if head == "student_t":
        return {"mean": mean, "scale": scale, "df": tf.broadcast_to(p.distribution.df, mean.shape)}
    if head in ("gaussian_inverse_gamma", "gaussian_optimal_per_image"):
        ones = tf.ones(len(mean))
        found = {"concentration": ones * p.concentration, "inverse_gamma_scale": ones * p.scale}
        return {"mean": mean, "scale": scale[:, 0, 0, 0], **found}
    inner = p.distribution
    if head == "logistic_mixture":
        found = {"component_logits": inner.logits, "loc": inner.loc, "log_scale": inner.log_scale}
        return {"mean": mean, **found, "coefficients": inner.coefficients}
    names = {"bernoulli": "logits", "categorical": "level_logits"}
    return {"mean": mean, {**names, "bitwise_categorical": "bit_logits"}[head]: inner.logits}


def _reconstruct(head, model, x):
    found = parameters(head, model.decode(model.encode(x).mean()))
    return {name: found[name] for name in ("mean", "scale") if name in found}


def _ids(seed, stream):
    return noise.fold(tf.bitcast(seed, tf.uint32), stream)


def _sample(model, seed):
    z = noise.normal(_ids(seed, _Z_STREAM), [LATENT_SIZE])
    seeds = tf.bitcast(_ids(seed, _IMAGE_STREAM), tf.int32)
    params = model.decoder(z)

    # Traced, for a sampler of many small operations takes long without; the loop over rows is not.
    @tf.function
    def draw(params_of_row, seed_of_row):
        return model.likelihood.distribution(params_of_row).sample(seed=seed_of_row)[0]

    image = [draw(params[row : row + 1], seeds[row]).numpy() for row in range(len(seed))]
    return {"image": np.stack(image), "mean": model.decode(z).mean(), "z": z}


def elbo(model, x, seed):
    """The outputs of `elbo`."""
    q = model.encode(x)
    z = q.mean() + q.stddev() * noise.normal(_ids(seed, _Z_STREAM), [LATENT_SIZE])
    p = model.decode(z)
    prior = tfd.MultivariateNormalDiag(tf.zeros(LATENT_SIZE), tf.ones(LATENT_SIZE))
    normal = tfd.MultivariateNormalDiag(q.mean(), q.stddev())
    rate, log_prob = tfd.kl_divergence(normal, prior).numpy(), p.log_prob(x).numpy()
    num_dims = x[0].size
    # Nats a grey level: a density is of values in units of 255ths of the range, of 256 bins.
    if model.likelihood.measure == "density":
        nll = rate - log_prob + num_dims * np.log(256)
    elif model.likelihood.measure == "mass":
        nll = rate - log_prob
    else:
        nll = rate - model.likelihood.bin_log_mass(p, x).numpy()
    bits_per_dim = (nll / (num_dims * np.log(2))).astype(np.float32)
    return {
        "elbo": log_prob - rate,
        "log_prob": log_prob,
        "rate": rate,
        "bits_per_dim": bits_per_dim,
    }


def _anomaly(model, x):
    output = model(x)
    p = output.likelihood
    score = -(p.log_prob(x) - output.rate)
    return {"score": score.numpy(), "z_score": ((x - p.mean()) / p.stddev()).numpy()}


def _between(scores):
    """Scores at some quantiles of the given ones, each as far as can be from its neighbors."""
    ordered = np.sort(scores)
    middles, gaps = (ordered[1:] + ordered[:-1]) / 2, np.diff(ordered)
    parts = np.array_split(np.arange(len(gaps)), NUM_VALIDATION)
    return np.array([middles[part[np.argmax(gaps[part])]] for part in parts], np.float32)


def _levels(images_):
    return np.clip(np.asarray(images_), 0.0, 1.0) * 255
