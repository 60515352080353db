"""Trains and evaluates the runs of a study, one after the other, resuming where it was killed."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

import keras
from tqdm import tqdm

from tf_sigma_vae import build
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation import runs as evaluation_runs
from tf_sigma_vae.evaluation.evaluate import Evaluation, check_numbers
from tf_sigma_vae.sweep import artefacts, checks, convergence, runs, studies, tables
from tf_sigma_vae.sweep.measuring import Measuring, require_comparable
from tf_sigma_vae.sweep.results import Result
from tf_sigma_vae.training import NonFiniteError, loop, strategy
from tf_sigma_vae.training.preemption import StopRequest


class Sweep:
    """A study with a configuration and a folder.

    Everything is checked where it is made, the presence of the data included; only `run` writes.

    Attributes:
      runs: What the command asked for, seeds in the outer loop, so that the first seed gives a
        whole table.
      about: What tables and pictures say of the sweep.
      written: Paths of the tables and pictures that were last written.
    """

    def __init__(
        self,
        study: str,
        config: Config,
        workdir: str,
        *,
        seeds: Sequence[int] = (0, 1, 2),
        betas: Sequence[float] | None = None,
        variants: Sequence[str] | None = None,
        protocol: runs.Protocol | None = None,
        most_examples: int = 0,
        measuring: Measuring | None = None,
        data_dir: str | None = None,
        download: bool = False,
        strategy_name: str = "auto",
    ) -> None:
        """Checks all that is asked for, and looks at the data once.

        Args:
          study: One of `studies.STUDIES`.
          config: Of all runs; its likelihood and seed are replaced.
          workdir: Folder of the sweep.
          seeds: A run of every row for each.
          betas: The grid, in the paper's convention; the study's own if None.
          variants: Rows beside the grid; all if None.
          protocol: How to evaluate; all test images if None.
          most_examples: Images of a split that are evaluated at most, where the protocol leaves
            it open; 0 for all.
          measuring: What is measured beside that; nothing if None.
          data_dir: Where TFDS keeps its datasets.
          download: Whether a missing dataset may be downloaded.
          strategy_name: Name of the distribution strategy.

        Raises:
          ValueError: On what makes no sense, or a configuration that one of the rows refuses.
          FileNotFoundError: If the data are missing, or the extractor.
          ConnectionError: If the extractor cannot be downloaded.
          WorkdirError: If the folder holds a run with another configuration.
          PermissionError: If it cannot be written to.
        """
        protocol = protocol or runs.Protocol()
        self._rows = studies.rows(study, betas, variants)
        studies.check_seeds(seeds)
        evaluation_runs.check_images_wanted(protocol.split, protocol.num_examples)
        check_numbers(protocol.num_samples, runs.EVALUATION_BATCH_SIZE)
        checks.require_common(config)
        self._measuring = measuring or Measuring()
        self._workdir, self._config, self._most_examples = workdir, config, most_examples
        self._data_dir, self._download = data_dir, download
        self.runs = [runs.run_of(config, workdir, row, k) for k in seeds for row in self._rows]
        checks.require_buildable(self.runs)
        self._strategy = checks.strategy_kind(strategy_name)
        strategy.check(strategy.build(self._strategy), config)
        evaluation_runs.require_writable(workdir)
        # Also those of earlier commands, and of one length: a table has one budget.
        for run in [*self.runs, *self._on_disk(study)]:
            run.workdir.require_same(run.config, any_length=False)
        self._protocol, self.about = self._looked_at_data(study, protocol)
        self.written: list[str] = []

    def _looked_at_data(
        self, study: str, protocol: runs.Protocol
    ) -> tuple[runs.Protocol, tables.About]:
        """The protocol with its number of images, and `about`."""
        config = self._config
        if "distances" in self._measuring.names:
            checks.require_one_split(protocol.split, config, {run.seed for run in self.runs})
        splits = build.load_splits(self.runs[0].config, self._data_dir, self._download)
        images = getattr(splits, protocol.split)
        if images is None:
            raise ValueError("there is no validation split: config.validation_fraction is 0")
        if protocol.num_examples > len(images):
            raise ValueError(
                f"--num_examples is {protocol.num_examples}, but the {protocol.split} split of "
                f"{config.dataset} has {len(images)} images"
            )
        num_examples = protocol.num_examples or self._at_most(len(images))
        self._measuring = self._measuring.checked_on(protocol.split, images, config.latent_size)
        if "information" in self._measuring.names:
            checks.require_information(self.runs[0].config, images.shape[1:])
        num_validation = 0 if splits.validation is None else len(splits.validation)
        self._num_validation = self._at_most(num_validation)
        num_steps = build.num_train_steps(config, len(splits.train))
        about = tables.About(
            study, config, num_steps, protocol.split, num_examples, len(splits.train)
        )
        return protocol._replace(num_examples=num_examples), about

    def _at_most(self, num_images: int) -> int:
        return min(num_images, self._most_examples or num_images)

    def is_done(self, run: runs.Run) -> bool:
        """Whether a run is trained, evaluated and measured as asked."""
        return self._is_evaluated(run) and not self._measuring.missing(run.workdir.path)

    def _is_evaluated(self, run: runs.Run) -> bool:
        validated = not self._is_validated(run) or run.validation() is not None
        return validated and run.evaluation(self._protocol) is not None

    def _is_validated(self, run: runs.Run) -> bool:
        # Less than two images have no standard error.
        return self._num_validation > 1 and run.row.beta is not None

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
            left += self.about.num_steps - step
            lines.append(
                [run.title, run.row.label, self._state(run), f"{self.about.num_steps - step:,}"]
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        total = f"{len(self.runs)} runs of {self.about.budget}; {left:,} steps left in all"
        return "\n".join([*text, total])

    def _state(self, run: runs.Run) -> str:
        """What is done of a run, in the plan."""
        if run.is_trained():
            if not self._is_evaluated(run):
                return "to be evaluated"
            missing = self._measuring.missing(run.workdir.path)
            return f"to be measured: {', '.join(missing)}" if missing else "done"
        return f"stopped at step {run.step()}" if run.step() else "to do"

    def run(self) -> list[str]:
        """Does what is not done yet; writes tables and pictures after each run.

        Returns:
          A line for each run that failed with a value that is not finite; the others went on.

        Raises:
          WorkdirError: If a workdir cannot be used.
          CheckpointError: If a checkpoint cannot be written or read.
          FileNotFoundError: If the data are missing.
          ValueError: If a measure is not valid for the models, or distances cannot be compared.
          Preempted: After SIGTERM or Ctrl-C; the same command goes on.
        """
        self._measuring.require_extractor()
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
                    self._complete(run)
                except (NonFiniteError, FloatingPointError) as error:
                    failures.append(f"{run.title}: {error}")
                    print(f"{line} failed: {error}", flush=True)
                # Else the graphs of every run so far would stay in memory.
                keras.backend.clear_session()
                gc.collect()
                self.write_report(failures)
            self.write_report(failures)
        return failures

    def _complete(self, run: runs.Run) -> None:
        """Does what a run lacks."""
        if not run.is_trained():
            loop.train(
                run.config,
                run.workdir.path,
                data_dir=self._data_dir,
                download=self._download,
                strategy_name=self._strategy,
            )
        if self._is_validated(run) and run.validation() is None:
            record.write(
                self._evaluated(run, "validation", self._num_validation, 0), run.validation_file
            )
        if run.evaluation(self._protocol) is None:
            found = self._evaluated(run, *self._protocol)
            record.write(found, run.workdir.evaluation_file)
        self._measuring.make(run.workdir.path, self._data_dir, self._download)

    def _evaluated(
        self, run: runs.Run, split: str, num_examples: int, num_samples: int
    ) -> Evaluation:
        finished = evaluation_runs.FinishedRun(run.workdir.path)
        images = finished.images(split, num_examples, self._data_dir, self._download)
        # No bar in a log file.
        with tqdm(
            total=len(images), desc=split, unit="image", file=sys.stderr, disable=None
        ) as bar:
            return record.evaluate_run(
                finished, images, split, num_samples, runs.EVALUATION_BATCH_SIZE, bar.update
            )

    def results(self) -> tuple[list[Result], list[str]]:
        """The runs in the folder that are done, in the order of the table, and why others are not.

        Raises:
          ProtocolMismatchError: If the distances of two runs were not measured alike.
        """
        found, missing = [], []
        for run in self._on_disk(self.about.study):
            evaluation = run.evaluation(self._protocol)
            measured = {} if evaluation is None else self._measuring.stored(run.workdir.path)
            unmeasured = [name for name in self._measuring.names if name not in measured]
            if evaluation is None:
                missing.append(f"{run.title}: not evaluated so yet")
            elif unmeasured:
                missing.append(f"{run.title}: not measured so yet: {', '.join(unmeasured)}")
            else:
                found.append(self._result(run, evaluation, measured))
        require_comparable([each.distances for each in found if each.distances is not None])
        return found, missing

    def _result(self, run: runs.Run, evaluation: Evaluation, measured: dict[str, Any]) -> Result:
        curve = None
        if studies.study(self.about.study).convergence:
            curve = convergence.read(run.workdir.metrics_file)
        return Result(run.row, run.seed, evaluation, run.validation(), **measured, curve=curve)

    def write_report(self, failures: Sequence[str] = ()) -> list[str]:
        """Writes tables and pictures of the runs that are done; returns their paths.

        Raises:
          ValueError: If the distances of two runs were not measured alike.
          OSError: If one cannot be written; the old ones are intact then.
        """
        found, missing = self.results()
        if not found:
            return []
        failed = {failure.split(":")[0] for failure in failures}
        missing = [line for line in missing if line.split(":")[0] not in failed]
        self.written = artefacts.write(self._workdir, self.about, found, [*failures, *missing])
        return self.written
