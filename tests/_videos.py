"""Small videos, a small model of them, and one that is not even a model."""

import types

import numpy as np

from tests._models import tiny_vae
from tf_sigma_vae import data

FRAME, LENGTH, CONTEXT = (16, 16, 3), 7, 2


def videos(num_videos=5, length=LENGTH, frame=FRAME, seed=0):
    """Noise, in which every frame is like no other: uint8 `[N, T, H, W, C]`."""
    shape = (num_videos, length, *frame)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def source(*args, **kwargs):
    """The same as a `VideoSource`."""
    return data.ArraySource(videos(*args, **kwargs), "the videos")


def tiny_svg(likelihood="gaussian_shared", frame=FRAME, **kwargs):
    """An uncompiled model of videos with small networks and repeatable initial weights."""
    small = {"context_frames": CONTEXT, "feature_size": 6, "lstm_units": 5}
    return tiny_vae(likelihood, frame, "dcgan64", **{**small, **kwargs})


class Means:
    """A distribution with a mean, and draws around it."""

    def __init__(self, mean):
        self._mean = np.asarray(mean)

    def mean(self):
        return self._mean

    def sample(self, seed):
        return self._mean + 0.2 * np.random.default_rng(seed).normal(size=self._mean.shape)


class InstantSvg:
    """What pictures ask of a model of videos, made of arrays: a rollout is a random walk.

    Attributes:
      image_shape: `(H, W, C)`.
      context_frames: Frames that are given.
    """

    def __init__(self, frame=FRAME):
        self.image_shape, self.context_frames, self.likelihood = frame, CONTEXT, self

    def params_channels(self, channels):
        return channels

    def __call__(self, x, training):
        mean = 0.5 * x[:, CONTEXT:] + 0.2
        output = types.SimpleNamespace(likelihood=Means(mean), z=mean.mean(axis=(2, 3)))
        assert not training
        return output

    def rollout_noise_ids(self, context, num_samples, seed=0):
        of_clips = np.rint(1000.0 * context.mean(axis=(1, 2, 3, 4))).astype(np.uint32)
        ids = np.empty((len(context), num_samples, 2), np.uint32)
        ids[..., 0], ids[..., 1] = of_clips[:, None], 100 * seed + np.arange(num_samples)
        return ids

    def rollout(self, context, num_frames, noise_ids, temperature=1.0, latents=None):
        shape = (*noise_ids.shape[:2], num_frames, 1, 1, self.image_shape[-1])
        steps = np.zeros(shape, np.float32)
        if latents is not None:
            steps[..., 0, 0, :] = latents - 0.5
        else:
            for place in np.ndindex(*noise_ids.shape[:2]):
                draws = np.random.default_rng(noise_ids[place]).normal(size=shape[2:])
                steps[place] = 0.02 + 0.1 * temperature * draws
        return context[:, None, -1:] + np.cumsum(steps, axis=2)

    def mean_frames(self, params):
        return np.asarray(params)
