"""A batch shared out over replicas gives what one device does.

All take minutes and are slow; by default `tests/test_replicas.py` trains on two replicas.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import _equality
from tests.conformance import _replica_runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 900

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]

KINDS = ("loss", "gradients", "weights", "stored", "metrics")
# Sums in another order. Measured: 1.8e-6 in gradients, 5.8e-6 in the weights after Adam, which
# divides small gradients by their size.
FLOAT32 = dict.fromkeys(KINDS, 2e-5)
# Each replica rounds its gradient to the 8 bits of bfloat16 (half a unit is 2e-3) before the sum,
# and six steps add up. Measured: 1.7e-2 in weights, that of the biases, which start at 0; 1.5e-3
# where float32 averages over the examples.
BFLOAT16 = dict.fromkeys(KINDS, 5e-3) | {"gradients": 5e-2, "weights": 5e-2}
# Sums in another order, and functions of them. Measured: 1.9e-6.
EVALUATION = 1e-5
# Measured: from 1.8e-2 in the loss to 0.33 in the stored scale.
SEEN = 1e-3

# One of each statistic of the batch: its scale, in each step and in the first one.
QUICK_VARIANTS = ("gaussian_optimal", "gaussian_shared/data")
# The other statistics, and of those that have none a density and a mass.
OTHER_VARIANTS = (
    "gaussian_optimal/soft_clip",
    "gaussian_optimal_per_image",
    "gaussian_inverse_gamma",
    "gaussian_inverse_gamma/trained",
    "gaussian_per_pixel",
    "logistic_mixture",
)
# The case "all" holds what the others try by themselves.
ALONE = ("clip_norm", "ema", "accumulation", "free_bits", "dequantize+flip")
SETTINGS = tuple(name for name in _equality.settings() if not name.endswith(ALONE))
SINGLE_SETTINGS = tuple(name for name in _equality.settings() if name.endswith(ALONE))
EVALUATED = "gaussian_optimal"
TASKS = {
    "quick variants": QUICK_VARIANTS,
    "evaluation": (_replica_runs.EVALUATION + EVALUATED, _replica_runs.WITHOUT_ALL_REDUCE),
    "other variants": OTHER_VARIANTS,
    "settings": SETTINGS,
    "single settings": SINGLE_SETTINGS,
}
# Uneven shares with all; of other numbers of replicas what each statistic of the batch does.
REPLICAS = dict.fromkeys(TASKS, (3,)) | {"quick variants": (2, 3, 4)}


@functools.cache
def outcome(replicas, group):
    """Exit status and output of the script for a group of tasks; run once, also if it fails."""
    command = [sys.executable, "-m", "tests.conformance._replica_runs", str(replicas)]
    try:
        finished = subprocess.run(
            [*command, *TASKS[group]],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return None, "", str(error)
    return finished.returncode, finished.stdout, finished.stderr


def results(replicas, group):
    """By how much several replicas differ from one device, by task."""
    status, printed, errors = outcome(replicas, group)
    assert status == 0, errors[-3000:]
    return json.loads(printed.splitlines()[-1])


def cases(group, names):
    """Parameters of a test: number of replicas and name."""
    return [pytest.param(n, name, id=f"{name}-{n}") for n in REPLICAS[group] for name in names]


def require_small(found, tolerance):
    assert found.pop("replicas") == 0.0
    assert found.keys() == tolerance.keys()
    assert {kind: value for kind, value in found.items() if not value <= tolerance[kind]} == {}


@pytest.mark.parametrize(("replicas", "name"), cases("quick variants", QUICK_VARIANTS))
def test_each_kind_of_scale_trains_on_replicas_as_on_one_device(replicas, name):
    require_small(dict(results(replicas, "quick variants")[name]), FLOAT32)


@pytest.mark.parametrize(("replicas", "name"), cases("other variants", OTHER_VARIANTS))
def test_other_likelihoods_train_on_replicas_as_on_one_device(replicas, name):
    require_small(dict(results(replicas, "other variants")[name]), FLOAT32)


@pytest.mark.parametrize(("replicas", "name"), cases("settings", SETTINGS))
def test_every_setting_trains_on_replicas_as_on_one_device(replicas, name):
    tolerance = BFLOAT16 if name.endswith("bfloat16") else FLOAT32
    require_small(dict(results(replicas, "settings")[name]), tolerance)


@pytest.mark.parametrize(("replicas", "name"), cases("single settings", SINGLE_SETTINGS))
def test_every_setting_alone_trains_on_replicas_as_on_one_device(replicas, name):
    require_small(dict(results(replicas, "single settings")[name]), FLOAT32)


def test_a_scale_of_each_replicas_own_examples_would_be_seen():
    found = results(3, "evaluation")[_replica_runs.WITHOUT_ALL_REDUCE]
    assert {kind: found[kind] for kind in KINDS if not found[kind] > SEEN} == {}


def test_evaluation_and_calibration_on_replicas_are_those_of_one_device():
    found = results(3, "evaluation")[_replica_runs.EVALUATION + EVALUATED]
    assert found["same protocol"]
    assert {"elbo value", "iwae value", "iwae standard_error"} <= found["metrics"].keys()
    differences = found["metrics"] | found["stored"]
    assert {what: value for what, value in differences.items() if not value <= EVALUATION} == {}


def test_cases_are_those_of_the_benchmark_and_shares_are_uneven():
    assert {*QUICK_VARIANTS, *OTHER_VARIANTS} <= set(_equality.variants())
    assert all(_equality.LAST_BATCH_SIZE % replicas for replicas in (2, 3, 4))
    assert len(SETTINGS) + len(SINGLE_SETTINGS) == len(_equality.SETTINGS)
