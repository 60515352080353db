"""Which runs a study has, in the order of the paper's table.

A beta of the grid is the paper's, `squared error + beta * rate`. Its run is a `gaussian_fixed` of
scale `sqrt(beta / 2)` with weight 1 on the rate, which has the same optimum and whose elbo is what
the paper prints as -log p (at beta = 10 and D = 2352 it is above 4054 nats; the paper prints 4056).

Source: Rybkin et al. 2021, Tables 1, 2 and 3, Fig. 4 and 9; Sec. 3.1 for `scale = sqrt(beta / 2)`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_sigma_vae import objectives
from tf_sigma_vae.config import Config
from tf_sigma_vae.sweep import paper

PAPER_BETAS = (0.001, 0.01, 0.1, 1.0, 10.0)
FINE_BETAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Two to a decade: a bend of a curve is found between two points of the grid at best."""

GRID = paper.GRID
"""Where the grid stands among a study's variants."""

GRID_LIKELIHOOD = "gaussian_fixed"
SWEEP_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "gaussian_fixed": {"scale": 1.0},
    # From scale 1, as in the paper, log_scale would not have arrived within a short budget.
    "gaussian_shared": {"initial_scale": "data", "scale_learning_rate_multiplier": 10.0},
    "gaussian_per_channel": {"initial_scale": "data", "scale_learning_rate_multiplier": 10.0},
}
"""Likelihood options of a variant in sweeps; the plug-in's defaults where there are none."""

PAPER_SHARED = {"initial_scale": 1.0, "scale_learning_rate_multiplier": 1.0}
"""The paper's own shared scale: from 1, at the learning rate of the networks."""

ONE_SCALE = (
    "gaussian_fixed",
    "gaussian_shared",
    "gaussian_optimal",
    "gaussian_optimal_per_image",
    "gaussian_per_channel",
    "gaussian_inverse_gamma",
)
"""Likelihoods whose `beta_equivalent` stands for all pixels: with a place on an axis of beta."""

# This written loss does not depend on the number of dimensions.
_ANY_NUM_DIMS = 1


@dataclasses.dataclass(frozen=True)
class Study:
    """A table or a figure of the paper."""

    title: str
    """What it compares."""
    variants: tuple[str, ...]
    """Names of the rows, in the paper's order; `GRID` where the beta-VAEs stand."""
    columns: tuple[str, ...]
    """Of the tables; names of `tables.COLUMNS`. Measures add their own."""
    best_of_grid: bool = False
    """Whether the grid is one row, that of its best beta."""
    printed: paper.Printed | None = None
    """The paper's figures; None where it prints none."""
    betas: tuple[float, ...] = PAPER_BETAS
    """The grid, unless another is asked for."""
    special_rows: Mapping[str, tuple[str, Mapping]] = dataclasses.field(default_factory=dict)
    """Likelihood and options of the rows that differ from those of other sweeps."""
    measures: tuple[str, ...] = ()
    """What is measured beside the evaluation, unless otherwise asked for."""
    config: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Fields of the configuration, unless they are given."""
    convergence: bool = False
    """Whether it is about the scale over the steps, and not about what it ends with."""


_DECODERS = Study(
    title="decoding distributions (the paper's Table 2, and two of ours)",
    variants=(
        "bernoulli",
        "categorical",
        "bitwise_categorical",
        "logistic_mixture",
        "gaussian_fixed",
        "gaussian_per_pixel",
        "student_t",
        GRID,
        "gaussian_shared",
        "gaussian_optimal",
        "gaussian_optimal_per_image",
        "gaussian_per_channel",
        "gaussian_inverse_gamma",
    ),
    best_of_grid=True,
    columns=("nll", "bits_per_dim_mass", "bits_per_dim_density", "rate", "psnr", "log_scale"),
    printed=paper.TABLE_2_SVHN,
)

STUDIES = {
    "beta": Study(
        title="beta-VAEs of a grid and the calibrated decoders (the paper's Table 1)",
        variants=(GRID, "gaussian_shared", "gaussian_optimal", "gaussian_optimal_per_image"),
        columns=(
            "beta",
            "nll",
            "rate",
            "distortion",
            "squared_error",
            "bits_per_dim_mass",
            "bits_per_dim_density",
            "psnr",
        ),
        printed=paper.TABLE_1_SVHN,
    ),
    "decoders": _DECODERS,
    "decoders_cifar": dataclasses.replace(_DECODERS, printed=paper.TABLE_2_CIFAR),
    "decoders_celeba": dataclasses.replace(_DECODERS, printed=paper.TABLE_2_CELEBA),
    "table3": Study(
        title="decoders on MNIST (the paper's Table 3, and gaussian_optimal)",
        variants=(
            "gaussian_fixed",
            GRID,
            "gaussian_per_pixel",
            "gaussian_shared",
            "bernoulli",
            "gaussian_optimal",
        ),
        best_of_grid=True,
        columns=("nll", "bits_per_dim_mass", "rate"),
        printed=paper.TABLE_3_MNIST,
    ),
    "figure4": Study(
        title="information in the latent over beta (the paper's Fig. 4)",
        variants=(GRID, "gaussian_shared", "gaussian_optimal"),
        columns=("beta", "nll", "rate", "squared_error"),
        betas=FINE_BETAS,
        measures=("information",),
    ),
    "figure9": Study(
        title="the scale over the steps of training (the paper's Fig. 9)",
        variants=("gaussian_shared", "gaussian_shared_data", "gaussian_optimal"),
        columns=("beta", "nll", "rate", "log_scale"),
        betas=(),
        special_rows={
            "gaussian_shared": ("gaussian_shared", PAPER_SHARED),
            "gaussian_shared_data": ("gaussian_shared", SWEEP_OPTIONS["gaussian_shared"]),
        },
        config={"log_every_steps": 10},
        convergence=True,
    ),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """What a study trains once for each seed."""

    name: str
    """In file names and tables: the likelihood, `beta=...`, or a name of the study's own."""
    likelihood: str
    """The plug-in."""
    options: dict = dataclasses.field(default_factory=dict, hash=False)
    """Of the plug-in."""
    beta: float | None = None
    """Of the grid, in the paper's convention; None for a calibrated or discrete decoder."""

    @property
    def has_one_scale(self) -> bool:
        """Whether its `beta_equivalent` stands for all pixels."""
        return self.likelihood in ONE_SCALE

    @property
    def label(self) -> str:
        """The name, with the options that the sweep has chosen."""
        if self.beta is not None or not self.options:
            return self.name
        options = (
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.options.items()
        )
        return f"{self.name} ({', '.join(options)})"

    def config(self, base: Config, seed: int) -> Config:
        """The configuration of a run of this row.

        Raises:
          ValueError: If the seed is out of range.
        """
        return dataclasses.replace(
            base, likelihood=self.likelihood, likelihood_options=dict(self.options), seed=seed
        )


def study(name: str) -> Study:
    """The study of a name.

    Raises:
      ValueError: If there is none; the message lists them.
    """
    if name not in STUDIES:
        raise ValueError(f"unknown sweep {name!r}; known: {', '.join(STUDIES)}")
    return STUDIES[name]


def rows(
    name: str, betas: Sequence[float] | None = None, variants: Sequence[str] | None = None
) -> tuple[Row, ...]:
    """The rows of a study, in the order of its table.

    Args:
      name: One of `STUDIES`.
      betas: The grid, in the paper's convention; empty for none, the study's own if None.
      variants: The other rows to keep; all if None.

    Returns:
      Rows of different names.

    Raises:
      ValueError: If the study, a variant or a beta makes no sense, one is given twice, or no row
        is left.
    """
    wanted_study = study(name)
    known = [variant for variant in wanted_study.variants if variant != GRID]
    if betas and GRID not in wanted_study.variants:
        raise ValueError(f"--sweep={name} has no grid; leave out --betas")
    wanted = known if variants is None else list(variants)
    for variant in wanted:
        if variant not in known:
            raise ValueError(
                f"--sweep={name} has no variant {variant!r}; it has: {', '.join(known)}"
            )
    _require_different("variants", wanted)
    grid = [grid_row(beta) for beta in sorted(wanted_study.betas if betas is None else betas)]
    _require_different("betas", [row.name for row in grid])
    found = []
    for variant in wanted_study.variants:
        if variant == GRID:
            found += grid
        elif variant in wanted:
            ordinary = (variant, SWEEP_OPTIONS.get(variant, {}))
            likelihood, options = wanted_study.special_rows.get(variant, ordinary)
            found.append(Row(variant, likelihood, dict(options)))
    if not found:
        raise ValueError("no run is left: both --variants and --betas are empty")
    return tuple(found)


def grid_row(beta: float) -> Row:
    """The beta-VAE of a beta in the paper's convention.

    Raises:
      ValueError: If beta is not a positive number.
    """
    if not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"a beta of the grid must be positive and finite, got {beta}")
    scale = objectives.beta_to_scale(beta, "squared_error", _ANY_NUM_DIMS)
    return Row(f"beta={beta:.12g}", GRID_LIKELIHOOD, {"scale": scale}, float(beta))


def _require_different(what: str, values: Sequence) -> None:
    repeated = sorted({value for value in values if list(values).count(value) > 1})
    if repeated:
        raise ValueError(f"--{what} gives {', '.join(map(str, repeated))} twice")


def check_seeds(seeds: Sequence[int]) -> None:
    """Checks the seeds of a sweep.

    Raises:
      ValueError: If there is none, or one is given twice.
    """
    if not seeds:
        raise ValueError("--seeds is empty; give at least one, such as --seeds=0,1,2")
    _require_different("seeds", list(seeds))
