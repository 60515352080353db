"""The runs of a sweep on disk: each is a workdir of its own, `SWEEP/runs/<row>-seed<k>`."""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.evaluate import Evaluation
from tf_sigma_vae.sweep import studies
from tf_sigma_vae.training.checkpoints import listed_step
from tf_sigma_vae.workdir import Workdir

EVALUATION_BATCH_SIZE = 128
VALIDATION_FILE = "evaluation_validation.json"
FOLDER = "runs"


class Protocol(NamedTuple):
    """How the runs of a sweep are evaluated."""

    split: str = "test"
    """Split of the images."""
    num_examples: int = 0
    """How many of the first images; 0 for all."""
    num_samples: int = 0
    """K of the importance-weighted bound; 0 for none."""

    def fits(self, evaluation: Evaluation | None) -> bool:
        """Whether an evaluation was made by this protocol, `num_examples` resolved."""
        if evaluation is None:
            return False
        wanted = {**self._asdict(), "global_batch_size": EVALUATION_BATCH_SIZE}
        return all(evaluation.protocol.get(key) == value for key, value in wanted.items())


@dataclasses.dataclass(frozen=True)
class Run:
    """One row with one seed."""

    row: studies.Row
    seed: int
    config: Config = dataclasses.field(hash=False)
    workdir: Workdir = dataclasses.field(hash=False, compare=False)

    @property
    def title(self) -> str:
        """For lines of progress."""
        return f"{self.row.name} seed {self.seed}"

    @property
    def validation_file(self) -> str:
        """Evaluation on the validation split, by which the best of the grid is chosen."""
        return os.path.join(self.workdir.path, VALIDATION_FILE)

    def step(self) -> int:
        """Step of the latest checkpoint; 0 without one."""
        return listed_step(self.workdir.checkpoints) or 0

    def is_trained(self) -> bool:
        """Whether the final model is there."""
        return os.path.isfile(self.workdir.model_file)

    def evaluation(self, protocol: Protocol) -> Evaluation | None:
        """The evaluation by a protocol; None if it is still to be made."""
        found = record.read(self.workdir.evaluation_file) if self.is_trained() else None
        return found if protocol.fits(found) else None

    def validation(self) -> Evaluation | None:
        """The evaluation on the validation split, if there is one."""
        return record.read(self.validation_file)


def run_of(base: Config, workdir: str, row: studies.Row, seed: int) -> Run:
    """The run of a row and a seed in a sweep's workdir; touches nothing.

    Raises:
      ValueError: If the seed is out of range.
    """
    path = os.path.join(workdir, FOLDER, f"{row.name}-seed{seed}")
    return Run(row, seed, row.config(base, seed), Workdir(path))


def on_disk(base: Config, workdir: str, study: str, asked: Sequence[studies.Row]) -> list[Run]:
    """The study's runs that a sweep's workdir holds, whatever command started them.

    Args:
      base: Configuration of the sweep.
      workdir: Folder of the sweep.
      study: One of `studies.STUDIES`.
      asked: Rows of this command.

    Returns:
      Runs in the order of the study's table, seeds ascending.
    """
    folder = os.path.join(workdir, FOLDER)
    seeds: dict[str, list[int]] = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        found = re.fullmatch(r"(.+)-seed(\d+)", name)
        if found and os.path.isfile(Workdir(os.path.join(folder, name)).config_file):
            seeds.setdefault(found.group(1), []).append(int(found.group(2)))
    has_grid = studies.GRID in studies.study(study).variants
    betas = {row.beta for row in asked if row.beta is not None}
    spelled = (re.fullmatch(r"beta=(\d+(?:\.\d+)?(?:e[+-]\d+)?)", name) for name in seeds)
    betas |= {float(found.group(1)) for found in spelled if found} - {0.0}
    return [
        run_of(base, workdir, row, seed)
        for row in studies.rows(study, sorted(betas) if has_grid else ())
        for seed in sorted(seeds.get(row.name, ()))
    ]
