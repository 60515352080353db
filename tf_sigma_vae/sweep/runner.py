"""Trains and evaluates the runs of a study, one after the other, resuming where it was killed."""

import gc
import os
import sys
from collections.abc import Sequence

import keras
from tqdm import tqdm

from tf_sigma_vae import build
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation import runs as evaluation_runs
from tf_sigma_vae.evaluation.evaluate import check_numbers
from tf_sigma_vae.sweep import plot, results, runs, studies, tables
from tf_sigma_vae.training import NonFiniteError, loop, start, strategy
from tf_sigma_vae.training.preemption import StopRequest
from tf_sigma_vae.workdir import write_atomically

STRATEGIES = ("auto", "one_device", "mirrored")
"""Those that can be made again and again in one process."""


class Sweep:
    """A study with a configuration and a folder.

    Everything is checked where it is made, the presence of the data included; only `run` writes.

    Attributes:
      runs: What the command asked for, seeds in the outer loop, so that the first seed gives a
        whole table.
      about: What tables and pictures say of the sweep.
    """

    def __init__(
        self,
        study: str,
        config: Config,
        workdir: str,
        *,
        seeds: Sequence[int] = (0, 1, 2),
        betas: Sequence[float] = studies.PAPER_BETAS,
        variants: Sequence[str] | None = None,
        protocol: runs.Protocol | None = None,
        data_dir: str | None = None,
        download: bool = False,
        strategy_name: str = "auto",
    ):
        """Checks all that is asked for, and looks at the data once.

        Args:
          study: One of `studies.STUDIES`.
          config: Of all runs; its likelihood and seed are replaced.
          workdir: Folder of the sweep.
          seeds: A run of every row for each.
          betas: The grid, in the paper's convention.
          variants: Rows beside the grid; all if None.
          protocol: How to evaluate; all test images if None.
          data_dir: Where TFDS keeps its datasets.
          download: Whether a missing dataset may be downloaded.
          strategy_name: Name of the distribution strategy.

        Raises:
          ValueError: On what makes no sense, or a configuration that one of the rows refuses.
          FileNotFoundError: If the data are missing.
          WorkdirError: If the folder holds a run with another configuration.
          PermissionError: If it cannot be written to.
        """
        protocol = protocol or runs.Protocol()
        self._rows = studies.rows(study, betas, variants)
        studies.check_seeds(seeds)
        evaluation_runs.check_images_wanted(protocol.split, protocol.num_examples)
        check_numbers(protocol.num_samples, runs.EVALUATION_BATCH_SIZE)
        _check_common(config)
        self._workdir, self._config = workdir, config
        self._data_dir, self._download = data_dir, download
        self.runs = [runs.run_of(config, workdir, row, k) for k in seeds for row in self._rows]
        _check_every(self.runs)
        self._strategy = _strategy_kind(strategy_name)
        strategy.check(strategy.build(self._strategy), config)
        evaluation_runs.require_writable(workdir)
        # Also those of earlier commands, and of one length: a table has one budget.
        for run in [*self.runs, *self._on_disk(study)]:
            run.workdir.require_same(run.config, any_length=False)
        self._protocol, self._validates, self.about = self._looked_at_data(study, protocol)

    def _looked_at_data(self, study: str, protocol: runs.Protocol):
        """The protocol with its number of images, whether there is a validation split, `about`."""
        config = self._config
        splits = build.load_splits(self.runs[0].config, self._data_dir, self._download)
        images = getattr(splits, protocol.split)
        if images is None:
            raise ValueError("there is no validation split: config.validation_fraction is 0")
        if protocol.num_examples > len(images):
            raise ValueError(
                f"--num_examples is {protocol.num_examples}, but the {protocol.split} split of "
                f"{config.dataset} has {len(images)} images"
            )
        protocol = protocol._replace(num_examples=protocol.num_examples or len(images))
        validates = splits.validation is not None and len(splits.validation) > 1
        num_steps = build.num_train_steps(config, len(splits.train))
        about = tables.About(study, config, num_steps, protocol.split, protocol.num_examples)
        return protocol, validates, about

    def is_done(self, run: runs.Run) -> bool:
        """Whether a run is trained and evaluated as asked."""
        validated = not self._is_validated(run) or run.validation() is not None
        return validated and run.evaluation(self._protocol) is not None

    def _is_validated(self, run: runs.Run) -> bool:
        return self._validates and run.row.beta is not None

    def seeds(self) -> list[int]:
        """Seeds of this command and of the runs that are there already."""
        return sorted({run.seed for run in [*self.runs, *self._on_disk(self.about.study)]})

    def _on_disk(self, study: str) -> list[runs.Run]:
        return runs.on_disk(self._config, self._workdir, study, self._rows)

    def plan(self) -> str:
        """A table of the runs: what is done, and the steps that are left. Writes nothing."""
        lines = [["run", "likelihood", "state", "steps left"]]
        left = 0
        for run in self.runs:
            step = self.about.num_steps if run.is_trained() else run.step()
            if self.is_done(run):
                state = "done"
            elif run.is_trained():
                state = "to be evaluated"
            else:
                state = f"stopped at step {step}" if step else "to do"
            left += self.about.num_steps - step
            lines.append([run.title, run.row.label, state, f"{self.about.num_steps - step:,}"])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        total = f"{len(self.runs)} runs of {self.about.budget}; {left:,} steps left in all"
        return "\n".join([*text, total])

    def run(self) -> list[str]:
        """Does what is not done yet; writes tables and pictures after each run.

        Returns:
          A line for each run that failed with a value that is not finite; the others went on.

        Raises:
          WorkdirError: If a workdir cannot be used.
          CheckpointError: If a checkpoint cannot be written or read.
          FileNotFoundError: If the data are missing.
          Preempted: After SIGTERM or Ctrl-C; the same command goes on.
        """
        os.makedirs(os.path.join(self._workdir, runs.FOLDER), exist_ok=True)
        failures = []
        with StopRequest():
            for position, run in enumerate(self.runs, start=1):
                line = f"[{position}/{len(self.runs)}] {run.title}"
                if self.is_done(run):
                    print(f"{line}: done already", flush=True)
                    continue
                print(f"{line} ...", flush=True)
                try:
                    self._train_and_evaluate(run)
                except (NonFiniteError, FloatingPointError) as error:
                    failures.append(f"{run.title}: {error}")
                    print(f"{line} failed: {error}", flush=True)
                # Else the graphs of every run so far would stay in memory.
                keras.backend.clear_session()
                gc.collect()
                self.write_report(failures)
            self.write_report(failures)
        return failures

    def _train_and_evaluate(self, run: runs.Run) -> None:
        if not run.is_trained():
            loop.train(
                run.config,
                run.workdir.path,
                data_dir=self._data_dir,
                download=self._download,
                strategy_name=self._strategy,
            )
        if self._is_validated(run) and run.validation() is None:
            record.write(self._evaluated(run, "validation", 0, 0), run.validation_file)
        if run.evaluation(self._protocol) is None:
            found = self._evaluated(run, *self._protocol)
            record.write(found, run.workdir.evaluation_file)

    def _evaluated(self, run: runs.Run, split: str, num_examples: int, num_samples: int):
        finished = evaluation_runs.FinishedRun(run.workdir.path)
        images = finished.images(split, num_examples, self._data_dir, self._download)
        # No bar in a log file.
        with tqdm(
            total=len(images), desc=split, unit="image", file=sys.stderr, disable=None
        ) as bar:
            return record.evaluate_run(
                finished, images, split, num_samples, runs.EVALUATION_BATCH_SIZE, bar.update
            )

    def results(self) -> tuple[list[results.Result], list[str]]:
        """The evaluated runs in the folder, in the order of the table, and why others are not."""
        found, missing = [], []
        for run in self._on_disk(self.about.study):
            evaluation = run.evaluation(self._protocol)
            if evaluation is not None:
                found.append(results.Result(run.row, run.seed, evaluation, run.validation()))
            else:
                missing.append(f"{run.title}: not evaluated so yet")
        return found, missing

    def write_report(self, failures: Sequence[str] = ()) -> list[str]:
        """Writes tables and pictures of the runs that are done; returns their paths.

        Raises:
          OSError: If one cannot be written; the old ones are intact then.
        """
        found, missing = self.results()
        if not found:
            return []
        failed = {failure.split(":")[0] for failure in failures}
        missing = [line for line in missing if line.split(":")[0] not in failed]
        texts = {
            "results.csv": results.results_csv(found),
            "table.csv": tables.table_csv(self.about, found),
            "table.md": tables.table_markdown(self.about, found, [*failures, *missing]),
        }
        paths = []
        for name, text in texts.items():
            paths.append(os.path.join(self._workdir, name))
            write_atomically(paths[-1], text)
        paths.append(os.path.join(self._workdir, "rate_distortion.png"))
        plot.save(plot.rate_distortion(self.about, found), paths[-1])
        return paths


def _check_common(config: Config) -> None:
    """Checks what the rows have in common.

    Raises:
      ValueError: If it would make them differ in more than the decoder.
    """
    if config.beta != 1.0:
        raise ValueError(
            f"config.beta is {config.beta:g}, but in a sweep the weight of the rate is 1: the "
            "betas of --betas are realized by the scale of the decoder"
        )
    if config.early_stopping_patience > 0:
        raise ValueError(
            "config.early_stopping_patience must be 0 in a sweep: all rows have one budget"
        )


def _check_every(asked: Sequence[runs.Run]) -> None:
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


def _strategy_kind(name: str) -> str:
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
