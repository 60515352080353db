"""The tables of a sweep in the layout of the paper: CSV for programs, Markdown for readers."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.table import ABSENT, number
from tf_sigma_vae.sweep import studies
from tf_sigma_vae.sweep.results import FIGURES, Result, Summary, best_of_grid, summaries

COLUMNS = {
    "beta": "beta",
    "nll": "-log p < (nats)",
    "rate": "rate (nats)",
    "distortion": "distortion (nats)",
    "squared_error": "squared error (data²)",
    "bits_per_dim_mass": "bits/dim (mass)",
    "bits_per_dim_density": "bits/dim (density)",
    "psnr": "PSNR of the mean (dB)",
    "log_scale": "log_scale",
}
"""Headings of the figures that a table may show."""

NOTES = {
    "beta": "beta: the paper's, of `squared error + beta * rate`: given in the grid, else the "
    "learned `beta_equivalent = 2 scale²`. A run of the grid is a Gaussian of the equivalent "
    "scale `sqrt(beta / 2)`, whose bound is what the paper prints.",
    "nll": f"-log p: an upper bound, `-elbo`. Of a density and of a mass (discrete decoders) they "
    f"cannot be compared; `{ABSENT}` where the decoder is neither. bits/dim (mass) can be compared "
    "between all.",
    "squared_error": "squared error: of the mean image, summed over pixels and channels.",
}


class About(NamedTuple):
    """What a sweep's tables and pictures say of it."""

    study: str
    """One of `studies.STUDIES`."""
    config: Config
    """Of all runs, but for the likelihood and the seed."""
    num_steps: int
    """Training steps of each run."""
    split: str
    num_examples: int
    """Images of the split that were evaluated."""

    @property
    def budget(self) -> str:
        """The training of each run."""
        config = self.config
        size = f"{self.num_steps:,} steps of {config.global_batch_size}"
        if config.num_train_steps is not None:
            return size
        epochs = "epoch" if config.num_epochs == 1 else "epochs"
        return f"{config.num_epochs} {epochs} ({size})"


def seeds_of(results: Sequence[Result]) -> str:
    """`"seeds 0, 1, 2"`."""
    seeds = sorted({result.seed for result in results})
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def table_rows(about: About, results: Sequence[Result]) -> list[tuple[str, Summary]]:
    """The rows of the table with their labels; the grid as its best where the study says so."""
    found = summaries(results)
    best, split = best_of_grid(found, about.split)
    rows = []
    for summary in found:
        if summary.row.beta is None:
            rows.append((summary.row.label, summary))
        elif not studies.study(about.study).best_of_grid:
            rows.append((f"beta-VAE, {summary.row.name}", summary))
        elif summary is best:
            label = f"beta-VAE, best of grid ({summary.row.name}, by {split} elbo)"
            rows.append((label, summary))
    return rows


def table_csv(about: About, results: Sequence[Result]) -> str:
    """A line for each row: means over seeds and their standard errors (empty for one seed)."""
    rows = table_rows(about, results)
    names = [name for name in FIGURES if any(name in summary.figures for _, summary in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading = ["row", "variant", "beta", "num_seeds", "seeds", "measure"]
    for name in names:
        heading += [name, f"{name}_standard_error"]
    writer.writerow(heading)
    for label, summary in rows:
        row, seeds = summary.row, " ".join(map(str, summary.seeds))
        line = [label, row.likelihood, row.beta, len(summary.seeds), seeds]
        line.append(summary.measure or "none")
        for name in names:
            line += summary.figures.get(name, ("", ""))
        writer.writerow(line)
    return text.getvalue()


def table_markdown(about: About, results: Sequence[Result], missing: Sequence[str]) -> str:
    """The table for readers, what was done above it and notes below.

    Args:
      about: The sweep.
      results: Its evaluated runs.
      missing: What is not in the table, a line each.
    """
    study, rows = studies.study(about.study), table_rows(about, results)
    config = about.config
    heading = ["row", "seeds", *(COLUMNS[name] for name in study.columns)]
    heading.append(f"paper's -log p ({study.paper_source})")
    lines = [
        f"# {config.dataset}: {study.title}",
        "",
        f"{config.model} with network {config.network}, latent_size {config.latent_size}; trained "
        f"for {about.budget}, {seeds_of(results)}; evaluated on {about.num_examples:,} "
        f"{about.split} images with the stored scale; mean ± standard error over seeds.",
        "",
        _line(heading),
        _line(["---", *["---:"] * (len(heading) - 1)]),
    ]
    for label, summary in rows:
        cells = [label, str(len(summary.seeds))]
        cells += [cell(summary, name) for name in study.columns]
        is_best = study.best_of_grid and summary.row.beta is not None
        paper_name = studies.GRID if is_best else summary.row.name
        cells.append(study.paper.get(paper_name, ABSENT))
        lines.append(_line(cells))
    lines += ["", *(f"- {NOTES[name]}" for name in study.columns if name in NOTES)]
    lines.append(
        "- The paper's figures are for orientation: its network and budget are others, and other "
        "data give other figures."
    )
    lines += [f"- Not in the table: {line}" for line in missing]
    return "\n".join(lines) + "\n"


def cell(summary: Summary, name: str) -> str:
    """A figure as the table shows it."""
    if name == "beta" and summary.row.beta is not None:
        return f"{summary.row.beta:.12g}"
    found = summary.figures.get("beta_equivalent" if name == "beta" else name)
    if found is None:
        return ABSENT
    return number(Estimate(found.value, found.standard_error or 0.0, ""))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
