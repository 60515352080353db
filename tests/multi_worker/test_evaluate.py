"""`sigma-vae-evaluate` in two workers finds the figures of one device."""

import json
import shutil

import pytest

from tests.cli._finished_run import finished_run
from tests.multi_worker._workers import EVALUATE
from tf_sigma_vae.cli.evaluate import evaluate

NUM_SAMPLES = 5
BATCH = 4
"""Of 9 test images: the last batch holds one, and a worker has none of it."""
REORDERED = 1e-5
"""Relative: sums of float32 in another order."""


def read(workdir):
    return json.loads((workdir / "evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_two_workers_evaluate_to_the_figures_of_one_device(cluster, tmp_path):
    one, two = tmp_path / "a" / "run", tmp_path / "b" / "run"
    options = {"num_train": 60, "num_test": 9, "image_size": 4}
    finished_run(one, dataset="synthetic", dataset_options=options)
    shutil.copytree(one, two)
    table = evaluate([str(one)], num_samples=NUM_SAMPLES, global_batch_size=BATCH)
    flags = [f"--num_samples={NUM_SAMPLES}", f"--global_batch_size={BATCH}"]
    strategy = ["--strategy=multi_worker", "--cluster_timeout=60"]
    ends = cluster(2).run([*EVALUATE, f"--workdir={two}", *flags, *strategy])
    assert [end.code for end in ends] == [0, 0], ends
    found, expected = read(two), read(one)
    assert found["protocol"] == expected["protocol"]
    assert found["metrics"].keys() == expected["metrics"].keys() > {"elbo", "iwae"}
    for name, estimate in expected["metrics"].items():
        estimate = {k: v for k, v in estimate.items() if not isinstance(v, str)}
        kept = {k: found["metrics"][name][k] for k in estimate}
        assert kept == pytest.approx(estimate, rel=REORDERED), name
    # The chief alone shows the table and writes.
    title = table.splitlines()[0]
    assert [title in end.output for end in ends] == [True, False]
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
