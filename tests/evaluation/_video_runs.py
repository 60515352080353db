"""A tiny model of videos, and a run of it that is finished without training."""

import functools
import os

import keras
import numpy as np

from tests._models import TINY_OPTIONS
from tf_sigma_vae import build, data, models
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation.rollouts.record import summarize
from tf_sigma_vae.workdir import Workdir

FRAME_SHAPE = (16, 16, 1)
CONTEXT_FRAMES, CLIP_LENGTH = 2, 5
SMALL = {"feature_size": 8, "lstm_units": 6}


def videos(num_videos, num_frames=11, seed=0, frame_shape=FRAME_SHAPE):
    """A bright square on noise that moves by a pixel a frame: uint8 `[N, T, H, W, C]`."""
    rng = np.random.default_rng(seed)
    height, width, _ = frame_shape
    frames = rng.integers(0, 60, size=(num_videos, num_frames, *frame_shape), dtype=np.uint8)
    for video, (top, left, down, right) in zip(
        frames, rng.integers((0, 0, -1, -1), (height, width, 2, 2), (num_videos, 4)), strict=True
    ):
        for step, frame in enumerate(video):
            rows = (np.arange(5) + top + step * down) % height
            columns = (np.arange(5) + left + step * right) % width
            frame[np.ix_(rows, columns)] += 180
    return frames


def source(num_videos, num_frames=11, seed=0, frame_shape=FRAME_SHAPE):
    return data.ArraySource(videos(num_videos, num_frames, seed, frame_shape))


def clips(videos_source, clip_length=CLIP_LENGTH):
    """All evaluation clips in one batch, float32 `[N, T, H, W, C]`."""
    number = data.num_evaluation_clips(videos_source, clip_length)
    batches = data.evaluation_clips(videos_source, clip_length, global_batch_size=number)
    return next(iter(batches)).numpy()


def tiny_sequence_vae(likelihood="gaussian_optimal", frame_shape=FRAME_SHAPE, **kwargs):
    """With seeded weights large enough that posterior, prior and rollouts differ."""
    keras.utils.set_random_seed(0)
    model = models.SequenceVAE(
        frame_shape,
        latent_size=3,
        likelihood=likelihood,
        network_options=TINY_OPTIONS["dcgan64"],
        context_frames=CONTEXT_FRAMES,
        **SMALL,
        **kwargs,
    )
    model(np.zeros([1, CLIP_LENGTH, *frame_shape], np.float32), training=True)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    of_training = data.evaluation_clips(
        source(6, seed=9, frame_shape=frame_shape), CLIP_LENGTH, global_batch_size=4
    )
    model.calibrate(of_training)
    return model


@functools.cache
def shared_model(likelihood="gaussian_optimal"):
    """`tiny_sequence_vae`, made once; not to be changed."""
    return tiny_sequence_vae(likelihood)


def finished_video_run(path, likelihood="gaussian_optimal", num_test=6, **options):
    """Writes `videos.npz`, `config.json` and `model.keras` of a run; returns its path."""
    folder = Workdir(path)
    archive = os.path.join(os.path.dirname(os.path.abspath(path)), "videos.npz")
    if not os.path.exists(archive):
        np.savez(archive, train=videos(8, seed=9), test=videos(num_test))
    config = Config(
        dataset="video_npz",
        dataset_options={"path": archive},
        validation_fraction=0.0,
        model="sequence_vae",
        model_options={"context_frames": CONTEXT_FRAMES, **SMALL},
        network="dcgan64",
        network_options=TINY_OPTIONS["dcgan64"],
        latent_size=3,
        train_frames=CLIP_LENGTH,
        eval_frames=CLIP_LENGTH,
        likelihood=likelihood,
        **options,
    )
    build.check(config)
    folder.prepare(config, data_dir=None)
    shared_model(likelihood).save(folder.model_file)
    return os.fspath(folder.path)


def a_record(num_steps=3, metrics=("psnr", "coverage_90", "rate")):
    """What `rollouts.json` of one run might hold, of figures by chance."""
    rng = np.random.default_rng(num_steps)
    kinds = {
        "psnr": ("best", "mean", "posterior", "copy"),
        "coverage_90": ("posterior", "rollout"),
        "rate": ("posterior",),
    }
    found = {m: {kind: rng.random((6, num_steps)) for kind in kinds[m]} for m in metrics}
    protocol = {"num_rollouts": 4, "num_clips": 6, "num_videos": 3, "dataset": "d", "split": "test"}
    return {**summarize(found, {}, np.arange(6) // 2), "protocol": protocol}
