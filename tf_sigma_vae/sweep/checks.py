"""What a sweep checks before any work, beside what each of its parts checks itself."""

from collections.abc import Collection, Sequence

from tf_sigma_vae import build
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation._posteriors import require_measurable
from tf_sigma_vae.evaluation.estimate import NotMeasurableError
from tf_sigma_vae.sweep import runs
from tf_sigma_vae.training import start

STRATEGIES = ("auto", "one_device", "mirrored")
"""Those that can be made again and again in one process."""


def require_common(config: Config) -> None:
    """Checks what the rows have in common.

    Raises:
      ValueError: If it would make them differ in more than the decoder, or is of videos.
    """
    if build.is_of_videos(config):
        raise ValueError(
            f"a sweep takes images, and dataset {config.dataset!r} is of videos: train its "
            "variants one by one, and compare them with sigma-vae-evaluate or sigma-vae-report"
        )
    if config.beta != 1.0:
        raise ValueError(
            f"config.beta is {config.beta:g}, but in a sweep the weight of the rate is 1: the "
            "betas of --betas are realized by the scale of the decoder"
        )
    if config.early_stopping_patience > 0:
        raise ValueError(
            "config.early_stopping_patience must be 0 in a sweep: all rows have one budget"
        )


def require_buildable(asked: Sequence[runs.Run]) -> None:
    """Checks the configurations of all rows.

    Raises:
      ValueError: Naming every row that refuses its configuration, and why.
    """
    refusals = {}
    for run in asked:
        if run.row.name in refusals:
            continue
        try:
            build.check(run.config)
        except ValueError as error:
            refusals[run.row.name] = str(error)
    if len(set(refusals.values())) == 1 and len({run.row.name for run in asked}) == len(refusals):
        raise ValueError(next(iter(refusals.values())))
    if refusals:
        each = "; ".join(f"{name}: {message}" for name, message in refusals.items())
        raise ValueError(
            f"no run was started, for the configuration does not do for {len(refusals)} of the "
            f"rows ({each}). Change it, or leave them out by --variants"
        )


def require_information(config: Config, image_shape: tuple[int, int, int]) -> None:
    """Checks that the information in the latent of a model can be measured, before it is trained.

    Raises:
      NotMeasurableError: If not; the message says why.
    """
    try:
        require_measurable(build.model(config, image_shape))
    except NotMeasurableError as error:
        message = f"the information in the latent cannot be measured: {error}"
        raise NotMeasurableError(message) from error


def strategy_kind(name: str) -> str:
    """The kind of strategy that all runs are trained with.

    Raises:
      ValueError: If it is none of `STRATEGIES`.
    """
    kind = start.chosen(name)[0].kind
    if kind not in STRATEGIES:
        raise ValueError(
            f"strategy {kind!r}: a sweep trains run after run in one process, with one of "
            f"{', '.join(STRATEGIES)}"
        )
    return kind


def require_one_split(split: str, config: Config, seeds: Collection[int]) -> None:
    """Checks that the distances of all runs can be to the same images.

    Raises:
      ValueError: If the images of the split differ from seed to seed.
    """
    if split != "test" and config.validation_fraction > 0 and len(seeds) > 1:
        raise ValueError(
            f"--split={split} holds other images for each seed, and distances to different images "
            "cannot be compared: take --split=test, or --config.validation_fraction=0"
        )
