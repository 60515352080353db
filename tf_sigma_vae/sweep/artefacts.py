"""The files of a sweep: its tables and pictures, written anew from the runs that are done."""

import os
from collections.abc import Sequence

from tf_sigma_vae.sweep import (
    convergence,
    inflection,
    information_plot,
    plot,
    results,
    studies,
    tables,
)
from tf_sigma_vae.sweep.results import Result
from tf_sigma_vae.workdir import write_atomically

TABLE = "table.md"


def write(
    workdir: str, about: tables.About, found: Sequence[Result], missing: Sequence[str]
) -> list[str]:
    """Writes the tables and pictures.

    Args:
      workdir: Folder of the sweep.
      about: The sweep.
      found: Its runs that are done, at least one.
      missing: What is not among them, a line each.

    Returns:
      Paths of the files.

    Raises:
      OSError: If one cannot be written; the old ones are intact then.
    """
    sections = [inflection.text(found), convergence.text(about, found)]
    texts = {
        "results.csv": results.results_csv(found),
        "table.csv": tables.table_csv(about, found),
        TABLE: tables.table_markdown(about, found, missing, sections),
    }
    for name, text in texts.items():
        write_atomically(os.path.join(workdir, name), text)
    pictures = {}
    if studies.study(about.study).convergence:
        pictures["convergence.png"] = convergence.figure(about, found)
    else:
        pictures["rate_distortion.png"] = plot.rate_distortion(about, found)
    if any(result.information is not None for result in found):
        pictures["information.png"] = information_plot.figure(about, found)
    for name, figure in pictures.items():
        plot.save(figure, os.path.join(workdir, name))
    return [os.path.join(workdir, name) for name in (*texts, *pictures)]
