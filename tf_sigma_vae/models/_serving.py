"""What a saved model answers to: the functions that TensorFlow Serving calls signatures.

Every input and output has the batch as its first, unknown dimension, and no row has an influence on
another: a server joins and splits requests as it likes. The shape is the first thing checked, for
a server does not compare it with the signature. Random numbers are functions of the seed of their
row, so that a request repeats. Outputs are float32, PNG files aside.

The values cannot be checked by an error, which would fail the requests that share a batch: a row
with a value that is not finite, or out of the range of the likelihood, is answered by NaN; a file
that is cut off, or not of the model's size, by NaN and an empty file. (A file that is damaged in
its middle still fails its batch.)
"""

import os

import keras
import tensorflow as tf
from numpy.typing import ArrayLike

from tf_sigma_vae import objectives
from tf_sigma_vae.models import _image_files
from tf_sigma_vae.models._signatures import (
    IMAGE_STREAM,
    Z_STREAM,
    Function,
    Signatures,
    drawn,
    grey_values,
    nan_unless,
    require_as_many_rows,
    row_ids,
    with_specs,
)

LARGEST_Z_SCORE = 4.0
"""Standard deviations that the PNG of z-scores shows: -4 is black, 0 mid grey, 4 white."""


class ImageSignatures(Signatures):
    """The signatures of a latent-variable model of images.

        serving_default,
        reconstruct        images            mean[, scale]             of p(x|z), z the mean of q
        encode             images            z_mean, z_scale           of q(z|x)
        decode             z                 mean, ...                 `Likelihood.parameters`
        sample             seed              image, mean, z            z from the prior
        elbo               images, seed      elbo, log_prob, rate, bits_per_dim
        anomaly            images            score[, p_value], z_score
        reconstruct_bytes  image_bytes       mean_bytes
        anomaly_bytes      image_bytes       score[, p_value], z_score_bytes

    `images` are float32 `[B, H, W, C]` in [0, 1], `z` float32 `[B, latent_size]`, `seed` int32
    `[B, 2]`, `image_bytes` strings `[B]`, PNG or JPEG files of that size. `elbo` draws z by the
    seed; `anomaly` as the model does when it is called, so that its score, the negative elbo in
    nats, is that of an evaluation. `bits_per_dim` is by density for densities and by mass for the
    others. `p_value` is the split-conformal one against the scores of validation images,

        p = (1 + #{validation scores >= score}) / (1 + n):

    for images like those p is at most t with a probability of at most t (Vovk et al. 2005).
    `z_score` `[B, H, W, C]` is `(x - mean) / stddev` of p(x|z), by the z of the score.
    """

    def __init__(self, model: keras.Model, validation_scores: ArrayLike | None = None) -> None:
        """Builds the signatures.

        Args:
          model: A `LatentVariableModel`.
          validation_scores: `[n]`, anomaly scores of images that the model has not been trained on;
            without them there is no p-value.

        Raises:
          NotCalibratedError: If an analytic likelihood holds no scale.
          ValueError: If the scores are no finite numbers, or there are none.
        """
        super().__init__(model, validation_scores)
        # Two signatures each: of arrays, and of files.
        self.reconstruct, self.anomaly = tf.function(self._reconstruct), tf.function(self._anomaly)

    def functions(self) -> dict[str, Function]:
        """`tf.function` objects by name, with their input signatures; the outputs by name."""
        images = tf.TensorSpec([None, *self.model.image_shape], tf.float32, "images")
        seed = tf.TensorSpec([None, 2], tf.int32, "seed")
        z = tf.TensorSpec([None, self.model.latent_size], tf.float32, "z")
        files = tf.TensorSpec([None], tf.string, "image_bytes")
        inputs = {
            "reconstruct": [images],
            "encode": [images],
            "decode": [z],
            "sample": [seed],
            "elbo": [images, seed],
            "anomaly": [images],
        }
        if self.model.image_shape[-1] in _image_files.CHANNELS:
            inputs |= {"reconstruct_bytes": [files], "anomaly_bytes": [files]}
        functions = with_specs({n: (getattr(self, n), specs) for n, specs in inputs.items()})
        # One object under two names is traced once.
        return {"serving_default": functions["reconstruct"], **functions}

    # -- images in, or z

    def _reconstruct(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """`mean`, and `scale` where there is one."""
        x, is_valid = self.valid(images)
        z = self.model.encode(x).mean()
        parameters = self.model.likelihood.parameters(self.model.decode(z))
        names = ("mean", "scale") if self.model.likelihood.has_scale else ("mean",)
        return nan_unless(is_valid, {name: parameters[name] for name in names})

    def encode(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """`z_mean` and `z_scale`."""
        x, is_valid = self.valid(images)
        posterior = self.model.encode(x)
        return nan_unless(is_valid, {"z_mean": posterior.mean(), "z_scale": posterior.stddev()})

    def decode(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """The parameters of p(x|z) by name."""
        is_valid = tf.reduce_all(tf.math.is_finite(z), axis=1)
        # A NaN would not come through: rectifiers make it 0.
        likelihood = self.model.decode(tf.where(is_valid[:, tf.newaxis], z, 0.0))
        return nan_unless(is_valid, self.model.likelihood.parameters(likelihood))

    def elbo(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The bound and its terms, z drawn by the seed."""
        require_as_many_rows(images, seed, "images")
        x, is_valid = self.valid(images)
        output = self.model.score(x, row_ids(seed, Z_STREAM))
        elbo = objectives.elbo(output.distortion, output.rate)
        values = {"elbo": elbo, "log_prob": -output.distortion, "rate": output.rate}
        values["bits_per_dim"] = self.bits_per_dim(output, x)
        return nan_unless(is_valid, values)

    def _anomaly(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """`score`, `p_value` and `z_score`."""
        x, is_valid = self.valid(images)
        output = self.model(x, training=False)
        score = output.distortion + output.rate
        likelihood = output.likelihood
        found = {"score": score, "z_score": (x - likelihood.mean()) / likelihood.stddev()}
        if self.sorted_scores is not None:
            found["p_value"] = self.p_value(score)
        return nan_unless(is_valid, found)

    # -- samples

    def sample(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """`z` from the prior, the `mean` of p(x|z), and an `image` drawn from it."""
        z = self.model.sample_prior(row_ids(seed, Z_STREAM))
        # The decoder's output, not its distribution: a loop over rows takes tensors.
        params = self.model.decode_params(z)
        distribution = self.model.likelihood.distribution
        image = drawn(distribution, params, row_ids(seed, IMAGE_STREAM), self.model.image_shape)
        mean = distribution(params).mean()
        return {"image": image, "mean": mean, "z": z}

    # -- files in

    def reconstruct_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`mean_bytes`, PNG."""
        x, is_readable = self._from_files(image_bytes)
        return {"mean_bytes": _image_files.to_png(self.reconstruct(x)["mean"], is_readable)}

    def anomaly_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `anomaly`, the map of z-scores as PNG; see `LARGEST_Z_SCORE`."""
        x, is_readable = self._from_files(image_bytes)
        found = self.anomaly(x)
        shades = 0.5 + 0.5 * found.pop("z_score") / LARGEST_Z_SCORE
        z_score_bytes = _image_files.to_png(shades, is_readable)
        return {**nan_unless(is_readable, found), "z_score_bytes": z_score_bytes}

    def _from_files(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels, is_readable = _image_files.read(image_bytes, self.model.image_shape)
        return grey_values(levels), is_readable


def write(
    model: keras.Model, folder: str | os.PathLike[str], functions: dict[str, Function]
) -> None:
    """Writes a SavedModel that needs neither Keras nor TensorFlow Probability.

    Args:
      model: The model whose weights the functions read.
      folder: A new or empty folder.
      functions: The signatures by name.
    """
    module = tf.Module()
    # Keras wraps TensorFlow's variables; these are what the graphs have captured.
    module.weights = [weight.value for weight in model.weights]
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    # Inference only: no gradients, which would bring functions that no server calls.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, os.fspath(folder), signatures=signatures, options=options)
