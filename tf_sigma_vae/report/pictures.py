"""What the models draw: samples from the prior, and reconstructions."""

from collections.abc import Sequence

import numpy as np

from tf_sigma_vae import image_grid
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.report import elements
from tf_sigma_vae.report.content import Content, Run

SAMPLES = 36
RECONSTRUCTIONS = 8
HOW_TO_READ_SAMPLES = (
    "Images of latents drawn from the prior, the same latents for both pictures of a run. The mean "
    "is what papers show; the noisy image is a draw from p(x|z), what the model says that data "
    "look like. A calibrated decoder adds as much noise as its means lack of detail."
)
HOW_TO_READ_RECONSTRUCTIONS = (
    "The same images for all runs. Rows from above: original, mean reconstruction, and a draw from "
    "p(x|z) with the decoder's noise; z ~ q(z|x)."
)
CAPTIONS = {
    "prior_mean": "mean of p(x|z)",
    "prior_noisy": "draw from p(x|z), with the decoder's noise",
    "reconstructions": "original, mean, noisy",
    "levels": "original, then from q(z|x) no level, the top level, and so on to all levels",
}


NOT_FINITE = "the model gives images with values that are not finite"


def draw(model: LatentVariableModel, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The pictures of a model.

    Args:
      model: A `LatentVariableModel`.
      images: uint8 `[N, H, W, C]`, from which up to 8 are chosen by seed.
      seed: Of the choice and of all draws.

    Returns:
      uint8 `[H', W', C]` by the names of `CAPTIONS`, of which a flat latent has no levels;
      nothing of images that are neither gray nor of three colors.

    Raises:
      FloatingPointError: If a value of an image is not a number.
    """
    if images.shape[-1] not in (1, 3):
        return {}
    levels = {}
    places = np.random.default_rng(seed).permutation(len(images))[:RECONSTRUCTIONS]
    try:
        # NaN has no gray level: the cast is an invalid operation.
        with np.errstate(invalid="raise"):
            mean, noisy = image_grid.prior_images(model, SAMPLES, seed)
            rows = image_grid.reconstruction_images(model, images[places], seed)
            if model.num_levels > 1:
                levels["levels"] = image_grid.tile(image_grid.level_images(model, images[places]))
    except FloatingPointError as error:
        raise FloatingPointError(NOT_FINITE) from error
    return {
        "prior_mean": image_grid.tile(image_grid.near_square(mean)),
        "prior_noisy": image_grid.tile(image_grid.near_square(noisy)),
        "reconstructions": image_grid.tile(rows),
        **levels,
    }


def samples(content: Content) -> elements.Html | None:
    """Prior samples of all runs, both kinds side by side; None without pictures."""
    parts = []
    for run in content.runs:
        drawn = [_picture(run, name, CAPTIONS[name]) for name in ("prior_mean", "prior_noisy")]
        if any(drawn):
            parts.append(elements.element("h3", run.name))
            parts.append(elements.element("div", *drawn, class_="pictures"))
    if not parts:
        return None
    return elements.section("samples", "Samples", HOW_TO_READ_SAMPLES, *parts)


def reconstructions(content: Content) -> elements.Html | None:
    """Reconstructions of all runs, side by side; None without pictures."""
    name = "reconstructions"
    drawn = _side_by_side(content.runs, name)
    if drawn is None:
        return None
    lead = f"{HOW_TO_READ_RECONSTRUCTIONS} Images of the {content.split} split."
    return elements.section(name, "Reconstructions", lead, drawn)


def level_grids(runs: Sequence[Run]) -> elements.Html | None:
    """What the levels of hierarchies add, side by side; None if no run has levels."""
    return _side_by_side(runs, "levels")


def _side_by_side(runs: Sequence[Run], name: str) -> elements.Html | None:
    """A picture of every run that has it; None if none has."""
    drawn = [_picture(run, name, f"{run.name}: {CAPTIONS[name]}") for run in runs]
    return elements.element("div", *drawn, class_="pictures") if any(drawn) else None


def _picture(run: Run, name: str, caption: str) -> elements.Html | None:
    """A picture of a run; None if it is not there."""
    if name not in run.pictures:
        return None
    alt = f"{name.replace('_', ' ')} of {run.name}: {CAPTIONS[name]}"
    return elements.pixels(run.pictures[name], alt, caption)
