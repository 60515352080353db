"""A beta-VAE written with the mean squared error, and the calibrated decoder it amounts to.

"My loss is the mean squared error plus beta times the KL." That is a Gaussian decoder of a fixed
scale: the same gradient but for a constant factor, which Adam ignores. The optimal scale then
says what beta should have been.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf

import tf_sigma_vae as sv
from tf_sigma_vae.data.digits import Digits

LATENT_SIZE, NUM_DIMS, BATCH_SIZE = 8, 8 * 8, 64


def networks() -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder, with the same initial weights at every call."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    encoder = [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(2 * LATENT_SIZE)]
    decoder = [layers.Dense(128, "relu"), layers.Dense(NUM_DIMS), layers.Reshape((8, 8, 1))]
    encoder = keras.Sequential([keras.Input((8, 8, 1)), *encoder])
    return encoder, keras.Sequential([keras.Input((LATENT_SIZE,)), *decoder])


def my_beta_vae_loss(params, x, kl, beta):
    """The loss as it is often written: a mean over pixels, a sum over latents."""
    mse = tf.reduce_mean((x - tf.sigmoid(params)) ** 2, axis=(1, 2, 3))
    return tf.reduce_mean(mse + beta * kl)


def likelihood_loss(params, x, kl, beta):
    """The same as a negative elbo in nats, with beta turned into a scale."""
    scale = sv.objectives.beta_to_scale(beta, "mean_squared_error", NUM_DIMS)
    likelihood = sv.likelihoods.GaussianFixed(scale=scale).distribution(params)
    return tf.reduce_mean(-likelihood.log_prob(x) + kl)


def train(loss_function, images, beta, steps):
    """Trains with Adam; returns the gradient of the first step and the KL of the last."""
    encoder, decoder = networks()
    variables = encoder.trainable_variables + decoder.trainable_variables
    # The default epsilon is not small beside the gradients of a mean over pixels.
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-12)
    optimizer.build(variables)

    @tf.function
    def step(x, noise):
        with tf.GradientTape() as tape:
            loc, log_scale = tf.split(encoder(x), 2, axis=1)
            kl = 0.5 * tf.reduce_sum(loc**2 + tf.exp(2 * log_scale) - 1 - 2 * log_scale, axis=1)
            loss = loss_function(decoder(loc + tf.exp(log_scale) * noise), x, kl, beta)
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, variables)
        return tf.concat([tf.reshape(g, [-1]) for g in gradients], axis=0), tf.reduce_mean(kl)

    rng = np.random.default_rng(0)
    first, kl = None, np.nan
    for _ in range(steps):
        x = images[rng.integers(len(images), size=BATCH_SIZE)]
        gradient, kl = step(x, rng.normal(size=(BATCH_SIZE, LATENT_SIZE)).astype(np.float32))
        first = gradient.numpy() if first is None else first
    return first, float(kl)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--beta", type=float, default=0.005, help="weight of the KL in your loss")
parser.add_argument("--steps", type=int, default=600)
args = parser.parse_args()
images = Digits().load()["train"].astype(np.float32) / 255

mine, my_kl = train(my_beta_vae_loss, images, args.beta, args.steps)
ours, our_kl = train(likelihood_loss, images, args.beta, args.steps)
scale = sv.objectives.beta_to_scale(args.beta, "mean_squared_error", NUM_DIMS)
factor = np.sum(mine * ours) / np.sum(ours**2)
difference = np.max(abs(mine - factor * ours)) / np.max(abs(mine))
print(f"mean squared error + {args.beta:g} KL is a Gaussian decoder of scale {scale:.3f}")
print(f"gradients: {factor:.6f} times the likelihood's, largest relative error {difference:.0e}")
print(f"after {args.steps} steps: KL {my_kl:.3f} and {our_kl:.3f} nats")

model = sv.models.VAE((8, 8, 1), LATENT_SIZE, "gaussian_optimal", network=networks())
model.compile(keras.optimizers.Adam(1e-3))
epochs = max(1, args.steps * BATCH_SIZE // len(images))
model.fit(images, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
model.calibrate(images)
calibrated_scale = float(np.mean(model.decode(np.zeros((1, LATENT_SIZE))).stddev()))
best_beta = sv.objectives.scale_to_beta(calibrated_scale, "mean_squared_error", NUM_DIMS)
print(f"calibrated scale {calibrated_scale:.3f}: beta should have been {best_beta:.5f}")
