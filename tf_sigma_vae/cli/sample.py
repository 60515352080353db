"""Draws pictures of what a finished run has learned, the same bytes for the same seed.

  sigma-vae-sample --workdir=runs/a

Of a model of images, labelled PNG grids: prior_mean.png and prior_noisy.png (the same z without and
with the decoder's noise), reconstructions.png, interpolations.png, traversals.png; of a hierarchy
also levels.png: what its levels add to an image, one by one.

  sigma-vae-sample --workdir=runs/video --num_clips=4 --num_frames=30

Of a model of videos: rollouts.gif and, where PyAV is installed, rollouts.mp4 (ground truth,
approximate posterior, mean rollout and sampled ones, side by side), strips.png (their frames, and
the best of a few samples), posterior.png (one-step reconstructions). A film may be longer than the
videos are: the truth ends then. Interpolations and traversals are of images alone.
"""

import functools
import os
import sys
from collections.abc import Callable

import numpy as np
from absl import flags, logging

from tf_sigma_vae import animation, data
from tf_sigma_vae.cli import _command
from tf_sigma_vae.evaluation import runs, samples, video_samples
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.models._latent_variable_model import require_temperature
from tf_sigma_vae.workdir import WorkdirError, atomic_path

PROGRAM = "sigma-vae-sample"
EXPECTED_ERRORS = (
    ValueError,
    OSError,
    ImportError,
    WorkdirError,
    NotCalibratedError,
    FloatingPointError,
)
NUM_SAMPLES = 64
"""Images in the grids of prior samples."""


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.", required=True)
    flags.DEFINE_integer("seed", 0, "Of the samples and of the choice of images or videos.")
    flags.DEFINE_integer(
        "num_samples",
        None,
        f"Images in the grids of prior samples, {NUM_SAMPLES} if not given; of videos, sampled "
        f"rollouts that are shown of each, {video_samples.NUM_SAMPLES} if not given.",
    )
    flags.DEFINE_integer(
        "num_clips",
        None,
        f"Videos that are shown, chosen by --seed, {video_samples.NUM_CLIPS} if not given; of "
        "models of videos.",
    )
    flags.DEFINE_integer(
        "num_frames",
        None,
        "Frames of a clip, those of the context included; if not given, the eval_frames of the "
        "run, or whole videos where they are shorter. Of models of videos.",
    )
    flags.DEFINE_float(
        "temperature", 1.0, "Factor on the scales of the prior, of whatever is drawn from it.", 0.0
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Where the images or videos come from.")
    flags.DEFINE_string("output", None, "Folder for the pictures; WORKDIR/samples if not given.")
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")


def sample(
    workdir: str,
    seed: int = 0,
    num_samples: int | None = None,
    split: str = "test",
    output: str | None = None,
    data_dir: str | None = None,
    download: bool = False,
    temperature: float = 1.0,
    num_clips: int | None = None,
    num_frames: int | None = None,
) -> list[str]:
    """Draws the pictures of a run.

    Args:
      workdir: Folder of a finished run.
      seed: Of the samples and of the choice of images or videos; not negative.
      num_samples: Images in the grids of prior samples; of videos, sampled rollouts of each. None
        for `NUM_SAMPLES`, or `video_samples.NUM_SAMPLES`.
      split: Where the reconstructed images, or the videos, come from.
      output: Folder for the pictures; None for `workdir/samples`.
      data_dir: Where the data are; None for what the run was trained with.
      download: Whether missing data may be downloaded.
      temperature: Factor on the scales of the prior; not negative.
      num_clips: Videos that are shown, of a model of videos; None for `video_samples.NUM_CLIPS`.
      num_frames: Frames of a clip with its context, of a model of videos; None for
        `FinishedRun.clip_length`. It may be more than in training, and than the videos have.

    Returns:
      Paths of the files.

    Raises:
      FileNotFoundError: If the run is missing or not finished, or its data are.
      ValueError: On an impossible number or an unknown split.
      WorkdirError: If its configuration is corrupt.
      PermissionError: If `output` cannot be written to.
      NotCalibratedError: If an analytic likelihood holds no scale.
      FloatingPointError: If a model of videos gives frames that are not finite.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    asked = {"num_samples": num_samples, "num_clips": num_clips, "num_frames": num_frames}
    given = {name: value for name, value in asked.items() if value is not None}
    video_samples.check_request(**given)
    require_temperature(temperature)
    runs.check_images_wanted(split, num_examples=0)
    run = runs.FinishedRun(workdir)
    if not run.of_videos:
        _require_of_images(given, workdir)
    output = output or run.workdir.samples
    run.require_writable(output)
    images = run.images(split, data_dir=data_dir, download=download)
    if isinstance(images, data.VideoSource):
        given.setdefault("num_frames", run.clip_length(images))
        return _of_videos(run.model(), images, output, seed, temperature, split, given)
    return _of_images(run.model(), images, output, seed, temperature, split, **given)


def _require_of_images(given: dict[str, int], workdir: str) -> None:
    """Checks that nothing was asked of a model of images that only videos have."""
    for name in ("num_clips", "num_frames"):
        if name in given:
            raise ValueError(f"{name} is of models of videos; the run in {workdir!r} is of images")


def _of_images(
    model: LatentVariableModel,
    images: np.ndarray,
    output: str,
    seed: int,
    temperature: float,
    split: str,
    num_samples: int = NUM_SAMPLES,
) -> list[str]:
    """The pictures of a model of images."""
    pictures = samples.prior(model, num_samples, seed, temperature)
    draws = [samples.reconstructions, samples.interpolations, samples.traversals]
    if len(images) == 1:
        draws.remove(samples.interpolations)
        print(f"no interpolations: split {split!r} has one image only", file=sys.stderr)
    for draw in draws:
        pictures[draw.__name__] = draw(model, images, seed)
    if model.num_levels > 1:
        pictures["levels"] = samples.levels(model, images, seed, temperature)
    os.makedirs(output, exist_ok=True)
    return [_save(picture.save, output, f"{name}.png") for name, picture in pictures.items()]


def _of_videos(
    model: LatentVariableModel,
    source: data.VideoSource,
    output: str,
    seed: int,
    temperature: float,
    split: str,
    given: dict[str, int],
) -> list[str]:
    """The films and strips of a model of videos."""
    rollouts = video_samples.draw(model, source, seed=seed, temperature=temperature, **given)
    where = f"videos of the {split} split, seed {seed}; "
    pictures = {
        "strips": video_samples.strips(rollouts, where=where),
        "posterior": video_samples.posterior(model, rollouts, seed, where),
    }
    film = animation.gif(video_samples.film(rollouts, where=where))
    os.makedirs(output, exist_ok=True)
    paths = [_save(lambda path: _write(path, film), output, "rollouts.gif")]
    if animation.has_mp4():
        large = video_samples.film(rollouts, video_samples.LARGE_FILM_SIDE, where)
        write = functools.partial(animation.write_mp4, frames=large)
        paths.append(_save(write, output, "rollouts.mp4"))
    else:
        print(animation.NO_MP4, file=sys.stderr)
    return paths + [_save(one.save, output, f"{name}.png") for name, one in pictures.items()]


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _save(write: Callable[[str], object], folder: str, name: str) -> str:
    """Lets a file be written, and puts it in its place when complete; returns its path."""
    path = os.path.join(folder, name)
    with atomic_path(path) as temporary:
        write(temporary)
    return path


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.ERROR)
    values = flags.FLAGS
    try:
        paths = sample(
            values.workdir,
            seed=values.seed,
            num_samples=values.num_samples,
            split=values.split,
            output=values.output,
            data_dir=values.data_dir,
            download=values.download,
            temperature=values.temperature,
            num_clips=values.num_clips,
            num_frames=values.num_frames,
        )
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")
    print("\n".join(paths))


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
