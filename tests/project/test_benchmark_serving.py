"""The benchmark of serving times equal work, compares within a round, and says what it says."""

import os

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import serving
from tests._models import images, tiny_vae

SHAPE = (4, 6, 3)
# Relative: a graph sums in another order than eager operations.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def model():
    made = tiny_vae("gaussian_optimal", image_shape=SHAPE)
    made.calibrate(images(20, SHAPE))
    return made


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    functions = model.signatures()
    model.export(os.fspath(path), functions={name: functions[name] for name in serving.INPUTS})
    return os.fspath(path)


@pytest.mark.slow
def test_all_competitors_do_the_same_work(model, folder):
    calls = serving.competitors(tf.saved_model.load(folder).signatures, model, [3])
    assert set(calls) == {(name, 3) for name in serving.INPUTS}
    for (name, size), row in calls.items():
        eager, function = row["eager"](), row["tf.function"]()
        for one, other in zip(eager, function, strict=True):
            assert one.shape[0] == size
            np.testing.assert_allclose(one, other, rtol=ROUNDING, atol=ROUNDING)
        # Each output by name in its order; the noise of the others has another seed.
        served = row["served"]()
        if name == "encode":
            for one, other in zip(served, eager, strict=True):
                np.testing.assert_allclose(one, other, rtol=ROUNDING, atol=ROUNDING)
        if name in ("decode", "sample"):
            assert {one.shape for one in eager} - {(size, *SHAPE)} <= {one.shape for one in served}
        if name == "elbo":
            bits_per_dim, elbo, log_prob, rate = served
            np.testing.assert_allclose(elbo, log_prob - rate, rtol=ROUNDING)
            # Of the same posterior, hence the same rate.
            np.testing.assert_allclose(rate, eager[2], rtol=ROUNDING)
            assert bits_per_dim.shape == (size,)


def test_an_export_alone_is_timed_without_ratios(folder):
    calls = serving.competitors(tf.saved_model.load(folder).signatures, None, [2, 5])
    assert set(calls) == {(name, size) for name in serving.INPUTS for size in (2, 5)}
    assert {name for row in calls.values() for name in row} == {"served"}
    seconds = serving.measure(calls, rounds=1, num_calls=1, seed=0)
    lines = serving.table(seconds).splitlines()
    assert lines[0].split() == ["signature", "batch", "p50", "served,", "ms"]
    assert [line.split()[:2] for line in lines[1:]] == [
        [name, size] for size in "25" for name in serving.INPUTS
    ]


def test_every_round_makes_the_calls_of_every_competitor():
    made = []
    row = {name: lambda name=name: made.append(name) for name in ("served", "eager")}
    seconds = serving.measure({("encode", 1): row}, rounds=4, num_calls=3, seed=0)
    assert {len(times) for times in seconds["encode", 1].values()} == {4}
    assert min(min(times) for times in seconds["encode", 1].values()) >= 0
    warmed = made[2 * serving.WARMUP_CALLS :]
    rounds = [warmed[i : i + 6] for i in range(0, len(warmed), 6)]
    assert len(rounds) == 4
    # One after the other, each with the machine to itself, in an order that changes.
    assert all(len({*one[:3]}) == len({*one[3:]}) == 1 and one[0] != one[3] for one in rounds)
    assert len({one[0] for one in rounds}) == 2


def test_ratios_are_taken_within_a_round():
    # The machine is three times slower in the second round, for all.
    times = {"served": [0.002, 0.006, 0.003], "eager": [0.004, 0.012, 0.004]}
    times["tf.function"] = [0.001, 0.003, 0.001]
    lines = serving.table({("decode", 64): times}).splitlines()
    assert lines[1].split() == [
        *("decode", "64", "3.00", "(2.00..6.00)"),
        *("4.00", "0.50", "(0.50..0.75)"),
        *("1.00", "2.00", "(2.00..3.00)"),
    ]


def test_all_is_measured_unless_some_is_named(folder):
    args = serving.parse_args([])
    assert (args.export, args.workdir, args.batch_sizes) == (None, None, [1, 64])
    args = serving.parse_args([f"--export={folder}", "--batch_sizes", "5"])
    assert (args.export, args.batch_sizes) == (folder, [5])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rounds=0"], "--rounds must be at least 1, got 0"),
        (["--calls=-1"], "--calls must be at least 1, got -1"),
        (["--batch_sizes", "1", "0"], "--batch_sizes must be at least 1, got 0"),
        (["--export=nowhere/3"], "--export must hold a saved_model.pb: 'nowhere/3' does not"),
        (["--workdir=runs/a"], "--workdir is the run of an --export, which is missing"),
    ],
)
def test_wrong_values_are_refused_before_any_work(argv, message, capsys):
    with pytest.raises(SystemExit):
        serving.parse_args(argv)
    assert message in capsys.readouterr().err
