"""The tables of a sweep in the layout of the paper: CSV for programs, Markdown for readers."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.table import ABSENT, number
from tf_sigma_vae.sweep import orderings, studies
from tf_sigma_vae.sweep.results import (
    DISTANCES,
    INTERVALS,
    Result,
    Summary,
    best_of_grid,
    figure_names,
    latent_of,
    summaries,
)

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
    "mutual_information": "I(x; z) (nats)",
    "marginal_kl": "marginal KL (nats)",
}
"""Headings of the figures that a table may show; distances are called as their records say."""

NOTES = {
    "beta": "beta: the paper's, of `squared error + beta * rate`: given in the grid, else the "
    "learned `beta_equivalent = 2 scale²`. A run of the grid is a Gaussian of the equivalent "
    "scale `sqrt(beta / 2)`, whose bound is what the paper prints.",
    "nll": f"-log p: an upper bound, `-elbo`. Of a density and of a mass (discrete decoders) they "
    f"cannot be compared; `{ABSENT}` where the decoder is neither. bits/dim (mass) can be compared "
    "between all.",
    "squared_error": "squared error: of the mean image, summed over pixels and channels.",
    "frechet": "Distances: between {samples:,} samples ({draw}) and as many {split} images, by the "
    "features of the network in the heading. Only that of FID gives FID; another's can be compared "
    "with the paper's in their order alone.",
    "mutual_information": "I(x; z), marginal KL: the ends of intervals, each the mean over seeds; "
    "of {examples:,} {split} images. `{saturated}`: saturated, so that the lower end of I(x; z) "
    "and the upper end of the marginal KL are those of the estimator (log S = {ceiling:.3g} nats).",
}
ORDERING_NOTE = (
    "ordering holds?: each row is compared with every other of the same kind (of -log p densities "
    "with densities, masses with masses) for which the paper prints both figures, and different "
    "ones. A pair is decided where Welch's t-test over the seeds (two-sided) has p < {level:g}, "
    "without a correction for the number of pairs; else it is open."
)
TOP_NOTE = (
    "The models are hierarchies: I(x; z) and marginal KL are of the top level z_0 alone, "
    "I(x; z_0) and KL(m(z_0), p(z_0)), which sum to the rate of that level and not to that of all "
    "levels."
)
SATURATED = "*"
DRAWS = {"mean": "mean images, no noise of the decoder", "noisy": "with the decoder's noise"}
PRINTED = {"nll": "-log p", "fid": "FID"}
"""What the paper prints, by the names of `paper.Printed`."""


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
    num_train: int | None = None
    """Images that each run is trained on."""

    @property
    def budget(self) -> str:
        """The training of each run."""
        config = self.config
        size = f"{self.num_steps:,} steps of {config.global_batch_size}"
        if config.num_train_steps is not None:
            return size
        epochs = "epoch" if config.num_epochs == 1 else "epochs"
        return f"{config.num_epochs} {epochs} ({size})"


class OrderingColumn(NamedTuple):
    """What the paper prints of one kind, and whether we find its order."""

    paper: list[str]
    """Of each row of the table."""
    holds: list[str]
    """Of each row of the table."""
    heading: str
    """Of `holds`."""
    summary: str
    """Of all pairs of rows."""


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


def ordering_columns(
    about: About, rows: Sequence[tuple[str, Summary]]
) -> dict[str, OrderingColumn]:
    """The paper's figures beside a table, and whether its orderings hold, by names of `PRINTED`.

    Args:
      about: The sweep.
      rows: Of `table_rows`.

    Returns:
      Nothing for a study of which the paper prints no figures, and no FID if none was measured.
    """
    study = studies.study(about.study)
    found: dict[str, OrderingColumn] = {}
    if study.printed is None:
        return found
    kinds = [("nll", "nll", "-log p", study.printed.nll)]
    if _is_measured("frechet", rows):
        kinds.append(("fid", "frechet", "the distance", study.printed.fid))
    for kind, figure, title, printed in kinds:
        entries = []
        for _, summary in rows:
            is_best = study.best_of_grid and summary.row.beta is not None
            text = printed.get(studies.GRID if is_best else summary.row.name)
            ours = summary.figures[figure].values if figure in summary.figures else ()
            entries.append(
                orderings.Entry(
                    "beta-VAE" if is_best else summary.row.name,
                    None if text is None else float(text),
                    ours,
                    summary.measure if kind == "nll" else None,
                )
            )
        found[kind] = OrderingColumn(
            [ABSENT if entry.paper is None else f"{entry.paper:.12g}" for entry in entries],
            orderings.cells(entries, ABSENT),
            f"ordering of {title} holds?",
            f"orderings of {title}: {orderings.summary(entries)}",
        )
    return found


def table_csv(about: About, results: Sequence[Result]) -> str:
    """A line for each row: means over seeds and their standard errors (empty for one seed)."""
    rows = table_rows(about, results)
    names = figure_names(name for _, summary in rows for name in summary.figures)
    columns = ordering_columns(about, rows)
    label = distance_label(results, "frechet")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading = ["row", "variant", "beta", "num_seeds", "seeds", "measure"]
    for name in names:
        heading += [name, f"{name}_standard_error"]
    heading += [] if label is None else ["frechet_label"]
    for kind in columns:
        heading += [f"paper_{kind}", f"{kind}_ordering_holds"]
    writer.writerow(heading)
    for index, (title, summary) in enumerate(rows):
        row, seeds = summary.row, " ".join(map(str, summary.seeds))
        line = [title, row.likelihood, row.beta, len(summary.seeds), seeds]
        line.append(summary.measure or "none")
        for name in names:
            found = summary.figures.get(name)
            line += ("", "") if found is None else (found.value, found.standard_error)
        line += [] if label is None else [label]
        for column in columns.values():
            line += [column.paper[index], column.holds[index]]
        writer.writerow(line)
    return text.getvalue()


def table_markdown(
    about: About,
    results: Sequence[Result],
    missing: Sequence[str],
    sections: Sequence[Sequence[str]] = (),
) -> str:
    """The table for readers, what was done above it and notes below.

    Args:
      about: The sweep.
      results: Its evaluated runs.
      missing: What is not in the table, a line each.
      sections: Lines of Markdown to stand at the end.
    """
    study, rows = studies.study(about.study), table_rows(about, results)
    config = about.config
    columns, names = ordering_columns(about, rows), list(study.columns)
    names += [name for name in (*DISTANCES, *INTERVALS) if _is_measured(name, rows)]
    heading = ["row", "seeds"]
    heading += [distance_label(results, name) or COLUMNS[name] for name in names]
    if study.printed is not None:
        for kind, column in columns.items():
            heading += [f"paper's {PRINTED[kind]} ({study.printed.source})", column.heading]
    lines = [
        f"# {config.dataset}: {study.title}",
        "",
        f"{config.model} with network {config.network}, latent_size {config.latent_size}; trained "
        f"for {about.budget}, {seeds_of(results)}; evaluated on {about.num_examples:,} "
        f"{about.split} images with the stored scale; mean ± standard error over seeds.",
        "",
        line(heading),
        line(["---", *["---:"] * (len(heading) - 1)]),
    ]
    saturated = saturated_rows(results)
    for index, (label, summary) in enumerate(rows):
        cells = [label, str(len(summary.seeds))]
        cells += [cell(summary, name, summary.row.name in saturated) for name in names]
        for column in columns.values():
            cells += [column.paper[index], column.holds[index]]
        lines.append(line(cells))
    lines += ["", *(f"- {column.summary}" for column in columns.values())]
    lines += [f"- {note}" for note in _notes(results, names, bool(columns))]
    lines += [f"- Not in the table: {reason}" for reason in missing]
    for section in sections:
        lines += ["", *section] if section else []
    return "\n".join(lines) + "\n"


def _notes(results: Sequence[Result], names: Sequence[str], has_paper: bool) -> list[str]:
    """What is to be known of the columns of a table."""
    values = {"saturated": SATURATED}
    for result in results:
        if result.distances is not None:
            samples = result.distances["protocol"]["samples"]
            values |= {"samples": samples["num_images"], "draw": DRAWS[samples["draw"]]}
        if result.information is not None:
            protocol = result.information["protocol"]
            values["examples"] = protocol["num_examples"]
            values["ceiling"] = protocol["log_num_examples"]
        values["split"] = result.evaluation.protocol["split"]
    notes = [NOTES[name].format(**values) for name in names if name in NOTES]
    if is_of_top(results):
        notes.append(TOP_NOTE)
    if has_paper:
        notes.append(ORDERING_NOTE.format(level=orderings.SIGNIFICANCE))
        notes.append(
            "The paper's figures are for orientation: its network and budget are others, and other "
            "data give other figures."
        )
    return notes


def is_of_top(results: Sequence[Result]) -> bool:
    """Whether the information is of the top level of a hierarchy alone."""
    records = [result.information for result in results if result.information is not None]
    return any(latent_of(record) == "top" for record in records)


def _is_measured(name: str, rows: Sequence[tuple[str, Summary]]) -> bool:
    figure = f"{name}_lower" if name in INTERVALS else name
    return any(figure in summary.figures for _, summary in rows)


def distance_label(results: Sequence[Result], name: str) -> str | None:
    """What a distance is to be called in print; None for another figure, or where none is."""
    if name not in DISTANCES:
        return None
    labels = {each.distances["labels"][name] for each in results if each.distances is not None}
    return " / ".join(sorted(labels)) or None


def saturated_rows(results: Sequence[Result]) -> set[str]:
    """Names of the rows that have a seed whose information is saturated."""
    return {
        result.row.name
        for result in results
        if result.information is not None and result.information["saturated"]
    }


def cell(summary: Summary, name: str, is_saturated: bool = False) -> str:
    """A figure as the table shows it.

    Args:
      summary: The row.
      name: Of the column.
      is_saturated: Whether an interval is to be marked.
    """
    if name == "beta" and summary.row.beta is not None:
        return f"{summary.row.beta:.12g}"
    if name in INTERVALS and f"{name}_lower" in summary.figures:
        ends = (summary.figures[f"{name}_{end}"].value for end in ("lower", "upper"))
        return " to ".join(f"{end:.3g}" for end in ends) + f" {SATURATED}" * is_saturated
    found = summary.figures.get("beta_equivalent" if name == "beta" else name)
    if found is None:
        return ABSENT
    return number(Estimate(found.value, found.standard_error or 0.0, ""))


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
