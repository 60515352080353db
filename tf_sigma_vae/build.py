"""From a configuration to its parts: the only file that names them all."""

import dataclasses
from typing import Any

import keras

from tf_sigma_vae import data, models, plugins
from tf_sigma_vae.config import Config
from tf_sigma_vae.likelihoods import Likelihood

_ANY_IMAGE_SHAPE = (64, 64, 3)


def dataset(config: Config) -> data.ImageDataset | data.VideoDataset:
    """The dataset plug-in with its options.

    Raises:
      ValueError: On an unknown dataset or option, or a bad value.
    """
    cls = plugins.find("data", config.dataset)
    plugins.check_options(cls, config.dataset_options, f"dataset {config.dataset!r}")
    return cls(**config.dataset_options)


def likelihood(config: Config) -> Likelihood:
    """The likelihood plug-in with its options.

    Raises:
      ValueError: On an unknown likelihood or option, or a bad value.
    """
    cls = plugins.find("likelihoods", config.likelihood)
    plugins.check_options(cls, config.likelihood_options, f"likelihood {config.likelihood!r}")
    return cls(name="likelihood", **config.likelihood_options)


def check(config: Config) -> None:
    """Checks all that a configuration alone can tell, before data are read.

    Raises:
      ValueError: On an unknown plug-in or option, or a bad value.
    """
    dataset(config)
    if likelihood(config).measure == "mass" and config.dequantize:
        raise ValueError(
            f"config.dequantize spreads grey levels for a density; likelihood "
            f"{config.likelihood!r} is a mass of the levels themselves: set it to False"
        )
    cls = plugins.find("models", config.model)
    _check_kind(config, cls)
    # A model also takes what other fields of the configuration are for.
    fields = [field.name for field in dataclasses.fields(Config)]
    plugins.check_options(cls, config.model_options, f"model {config.model!r}", besides=fields)
    # On images of a size that every network takes.
    cls.make_networks(
        _ANY_IMAGE_SHAPE,
        config.latent_size,
        1,
        config.network,
        config.network_options,
        **config.model_options,
    )


def is_of_videos(config: Config) -> bool:
    """Whether the dataset is one of videos.

    Raises:
      ValueError: If there is no such dataset.
    """
    return issubclass(plugins.find("data", config.dataset), data.VideoDataset)


def _check_kind(config: Config, model_class: type[models.LatentVariableModel]) -> None:
    """Checks that model and dataset are of the same kind, and what is for one kind alone."""
    of_videos = is_of_videos(config)
    if model_class.of_videos != of_videos:
        kinds = {True: "videos", False: "images"}
        fitting = [
            name
            for name in plugins.names("models")
            if plugins.find("models", name).of_videos == of_videos
        ]
        raise ValueError(
            f"model {config.model!r} is of {kinds[model_class.of_videos]}, dataset "
            f"{config.dataset!r} of {kinds[of_videos]}; models for it: {', '.join(fitting)}"
        )
    if not of_videos:
        return
    if config.dequantize:
        raise ValueError("config.dequantize is for images: set it to False for videos")
    given = _context_frames(config)
    for name in ("train_frames", "eval_frames"):
        value = getattr(config, name)
        if isinstance(given, int) and value <= given:
            raise ValueError(
                f"config.{name} must be above the {given} context_frames of the model, got {value}"
            )


def _context_frames(config: Config) -> Any:
    """Frames of a clip that the model is given; 0 for one of images."""
    options = plugins.options(plugins.find("models", config.model))
    return {**options, **config.model_options}.get("context_frames", 0)


def load_splits(
    config: Config, data_dir: str | None = None, download: bool = False
) -> data.Splits | data.VideoSplits:
    """Reads the dataset and carves the validation set from its training part.

    Args:
      config: The configuration.
      data_dir: Where TFDS keeps its datasets; its own default if None.
      download: Whether a missing dataset may be downloaded.

    Returns:
      `Splits(train, validation, test)` of uint8 `[N, H, W, C]`; of videos `VideoSplits`.

    Raises:
      FileNotFoundError: If the data are missing; the message says how to get them.
      ValueError: If they are not images, or too few, or videos are too short: for a training clip,
        or, those of test, for a frame to predict.
    """
    source = dataset(config)
    if not isinstance(source, data.VideoDataset):
        images = source.load(data_dir=data_dir, download=download)
        return data.split(images, config.validation_fraction, config.seed)
    videos = source.load(data_dir=data_dir, download=download)
    splits = data.split_videos(videos, config.validation_fraction, config.seed)
    for part in (splits.train, splits.validation):
        if part is not None:
            # Raises where a video is too short.
            data.num_evaluation_clips(part, config.train_frames)
    num_frames, given = splits.test.video_shape[0], _context_frames(config)
    if num_frames <= given:
        raise ValueError(
            f"{splits.test.name}: videos must be longer than the {given} context_frames of the "
            f"model, and have {num_frames} frames"
        )
    return splits


def image_shape(splits: data.Splits | data.VideoSplits) -> tuple[int, int, int]:
    """`(H, W, C)` of the images, or of the frames of the videos."""
    if isinstance(splits, data.VideoSplits):
        _, height, width, channels = splits.train.video_shape
    else:
        _, height, width, channels = splits.train.shape
    return height, width, channels


def model(config: Config, image_shape: tuple[int, int, int]) -> models.LatentVariableModel:
    """The model, uncompiled, with initial weights drawn by the seed.

    Raises:
      ValueError: If the parts do not fit the images or one another.
    """
    keras.utils.set_random_seed(config.seed)
    head = likelihood(config)
    if head.value_range is not None and not _covers(head.value_range, (0.0, 1.0)):
        raise ValueError(
            f"likelihood {config.likelihood!r} takes values in {head.value_range}, "
            f"but dataset {config.dataset!r} gives [0, 1]"
        )
    cls = plugins.find("models", config.model)
    return cls(
        image_shape=image_shape,
        latent_size=config.latent_size,
        likelihood=head,
        network=config.network,
        network_options=config.network_options,
        beta=config.beta,
        rate_warmup_steps=config.rate_warmup_steps,
        free_bits=config.free_bits,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        seed=config.seed,
        dtype=config.precision,
        name=config.model,
        **config.model_options,
    )


def _covers(outer: tuple[float, float], inner: tuple[float, float]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def num_train_steps(config: Config, num_examples: int) -> int:
    """Steps of the whole training."""
    if config.num_train_steps is not None:
        return config.num_train_steps
    return config.num_epochs * steps_per_epoch(config, num_examples)


def steps_per_epoch(config: Config, num_examples: int) -> int:
    """Steps of a pass over the training set.

    Raises:
      ValueError: If the training set is less than a batch, and partial ones are dropped.
    """
    return data.steps_per_epoch(num_examples, config.global_batch_size, config.drop_remainder)
