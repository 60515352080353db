"""Draws pictures of what a finished run has learned, as labelled PNG grids.

  sigma-vae-sample --workdir=runs/a

prior_mean.png and prior_noisy.png (the same z without and with the decoder's noise),
reconstructions.png, interpolations.png, traversals.png; of a hierarchy also levels.png: what its
levels add to an image, one by one. The same seed gives the same bytes.
"""

import os
import sys

from absl import flags, logging
from PIL import Image

from tf_sigma_vae.cli import _command
from tf_sigma_vae.evaluation import runs, samples
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.models._latent import require_temperature
from tf_sigma_vae.workdir import WorkdirError

PROGRAM = "sigma-vae-sample"


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.", required=True)
    flags.DEFINE_integer("seed", 0, "Of the samples and of the choice of images.")
    flags.DEFINE_integer("num_samples", 64, "Images in the grids of prior samples.")
    flags.DEFINE_float(
        "temperature", 1.0, "Factor on the scales of the prior, of whatever is drawn from it.", 0.0
    )
    flags.DEFINE_enum("split", "test", runs.SPLITS, "Where the reconstructed images come from.")
    flags.DEFINE_string("output", None, "Folder for the pictures; WORKDIR/samples if not given.")
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")


def sample(
    workdir: str,
    seed: int = 0,
    num_samples: int = 64,
    split: str = "test",
    output: str | None = None,
    data_dir: str | None = None,
    download: bool = False,
    temperature: float = 1.0,
) -> list[str]:
    """Draws the pictures of a run.

    Args:
      workdir: Folder of a finished run.
      seed: Of the samples and of the choice of images; not negative.
      num_samples: Images in the grids of prior samples.
      split: Where the reconstructed images come from.
      output: Folder for the pictures; None for `workdir/samples`.
      data_dir: Where the data are; None for what the run was trained with.
      download: Whether missing data may be downloaded.
      temperature: Factor on the scales of the prior; not negative.

    Returns:
      Paths of the PNG files.

    Raises:
      FileNotFoundError: If the run is missing or not finished, or its data are.
      ValueError: On an impossible number or an unknown split.
      WorkdirError: If its configuration is corrupt.
      PermissionError: If `output` cannot be written to.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    require_temperature(temperature)
    runs.check_images_wanted(split, num_examples=0)
    run = runs.FinishedRun(workdir)
    output = output or run.workdir.samples
    run.require_writable(output)
    images = run.images(split, data_dir=data_dir, download=download)
    model = run.model()
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
    return [_save(picture, output, name) for name, picture in pictures.items()]


def _save(picture: Image.Image, folder: str, name: str) -> str:
    path = os.path.join(folder, f"{name}.png")
    # Renamed when complete, so that a viewer never sees half a picture.
    temporary = os.path.join(folder, f".tmp-{name}.png")
    picture.save(temporary)
    os.replace(temporary, path)
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
        )
    except (ValueError, OSError, WorkdirError, NotCalibratedError) as error:
        sys.exit(f"{PROGRAM}: error: {error}")
    print("\n".join(paths))


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
