"""The benchmark of replicas compares what it says, and counts every collective."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import _collectives, _equality, replicas

KINDS = _equality.Differences._fields


def _recorder(gradients):
    recorder = _equality.Recorder()
    for gradient in gradients:
        others = {kind: {"one": np.ones(2)} for kind in KINDS[:-1]}
        recorder.steps.append({**others, "gradients": {"small": gradient, "large": np.ones(3)}})
    return recorder


def test_difference_is_relative_to_the_largest_number_of_a_tensor_over_the_steps():
    # Rounding alone in the second step, where the first gives the tensor its size.
    one = _recorder([np.array([0.0, -4.0]), np.array([1e-9, 0.0])])
    several = _recorder([np.array([0.0, -4.0]), np.array([3e-9, 0.0])])
    found = _equality.differences(one, several)
    assert found.gradients == pytest.approx(2e-9 / 4.0)
    assert found._replace(gradients=0.0) == _equality.Differences(*[0.0] * len(KINDS))


def test_a_difference_of_nan_is_no_small_one():
    one = _recorder([np.array([1.0, 2.0])])
    for broken in (np.array([np.nan, 2.0]), np.array([np.inf, 2.0])):
        assert not _equality.differences(one, _recorder([broken])).gradients <= 1.0


def test_runs_of_unlike_tensors_are_not_compared():
    one, longer = _recorder([np.ones(2)]), _recorder([np.ones(2), np.ones(2)])
    with pytest.raises(ValueError, match="differ in what they hold"):
        _equality.differences(one, longer)


def test_recorded_gradient_is_the_one_that_the_step_takes():
    changes = {"likelihood": "gaussian_fixed", "clip_norm": 0.5, "num_epochs": 1}
    steps = _equality.train(changes, tf.distribute.get_strategy()).steps
    assert len(steps) == 3
    for step in steps:
        norm = np.sqrt(sum(np.sum(g**2) for g in step["gradients"].values()))
        assert norm == pytest.approx(0.5, rel=1e-5)
    moved = [abs(b - a) for a, b in zip(*(_weights(step) for step in steps[:2]), strict=True)]
    taken = [abs(g) * 1e-2 for g in steps[1]["gradients"].values()]
    for change, gradient in zip(moved, taken, strict=True):
        # Weights of size one are stored to 6e-8.
        np.testing.assert_allclose(change, gradient, atol=2e-7)


def _weights(step):
    return list(step["weights"].values())[: len(step["gradients"])]


def test_equality_table_has_a_line_a_case_and_a_column_a_number_of_replicas():
    found = {
        n: {"x": dict.fromkeys(KINDS, n * 1e-7), "y": dict.fromkeys(KINDS, 0.0)} for n in (2, 4)
    }
    lines = replicas.equality_table(found).splitlines()
    assert "2 replicas" in lines[0] and "4 replicas" in lines[0]
    assert lines[1].split() == ["x", *["2.0e-07"] * 3, *["4.0e-07"] * 3]
    assert lines[2].split() == ["y", *["0.0e+00"] * 6]


def test_collectives_are_counted_where_they_are_called_and_as_often():
    def reduce(value):
        options = {"group_size": 2, "group_key": 1, "instance_key": 1, "ordering_token": []}
        return tf.raw_ops.CollectiveReduceV2(input=value, merge_op="Add", final_op="Id", **options)

    inner = tf.function(lambda: reduce(tf.ones([2, 3])))
    outer = tf.function(lambda: (inner(), inner(), reduce(tf.ones([], tf.int64)), tf.ones([9])))
    found = _collectives.in_graph(outer.get_concrete_function().graph)
    twice = ["CollectiveReduceV2 6 float32"] * 2
    assert sorted(found) == ["CollectiveReduceV2 1 int64", *twice]


def test_collectives_table_says_how_many_more_the_statistic_of_the_batch_takes():
    step, logs = ["Reduce 1 float32", "Reduce 90 float32"], ["Reduce 1 int64"] * 3
    found = {
        "gaussian_shared": {"step": step, "logs": logs},
        "gaussian_optimal": {"step": [*step, "Reduce 3 float32"], "logs": logs},
    }
    text = replicas.collectives_table(found)
    assert "gaussian_shared: 5 collectives" in text
    assert "  logs    3 x Reduce of 1 int64" in text
    assert "gaussian_optimal has 1 more than gaussian_shared" in text


def test_ratio_of_the_step_times_is_taken_within_a_round():
    # The machine is three times slower in the second round, for all.
    rates = {
        "replicas:gaussian_shared:1": [300.0, 100.0],
        "replicas:gaussian_shared:2": [200.0, 50.0],
        "replicas:gaussian_optimal:1": [300.0, 100.0],
        "replicas:gaussian_optimal:2": [300.0, 100.0],
    }
    rows = [line.split() for line in replicas.speed_table(rates, batch_size=60).splitlines()[1:]]
    assert rows[0] == ["gaussian_shared", "300", "480", "1.75", "(1.50..2.00)"]
    assert rows[1] == ["gaussian_optimal", "300", "300", "1.00", "(1.00..1.00)"]


def test_all_is_measured_unless_some_is_named():
    args = replicas.parse_args([])
    assert args.only is None and args.replicas == [2, 3, 4]
    assert args.cases == [*_equality.variants(), *_equality.settings()]
    args = replicas.parse_args(["--only=equality", "--replicas", "6", "--cases", "mse"])
    assert (args.only, args.replicas, args.cases) == ("equality", [6], ["mse"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--only=size"], "invalid choice: 'size'"),
        (["--rounds=0"], "--rounds must be at least 1, got 0"),
        (["--steps=-1"], "--steps must be at least 1, got -1"),
        (["--batch_size=5"], "--batch_size must be even"),
        (["--replicas", "5"], "--replicas must divide the batch of 12 images, got 5"),
        (["--replicas", "1"], "--replicas must divide the batch of 12 images, got 1"),
        (["--cases", "gauss"], "unknown case 'gauss'; known: bernoulli"),
    ],
)
def test_wrong_values_are_refused_before_any_work(argv, message, capsys):
    with pytest.raises(SystemExit):
        replicas.parse_args(argv)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_an_optimal_scale_costs_one_more_collective_of_a_few_numbers():
    found = _collectives.count(list(replicas.LIKELIHOODS))
    shared, optimal = (sorted(found[name]["step"]) for name in replicas.LIKELIHOODS)
    sizes = [[int(one.split()[1]) for one in those] for those in (shared, optimal)]
    assert len(shared) == 2 and len(optimal) == 3
    # The number of examples, then all gradients at once.
    assert sorted(sizes[0])[0] == 1 and sorted(sizes[0])[1] > 10**5
    assert sorted(sizes[1])[:2] in ([1, 2], [1, 3])
    assert found["gaussian_shared"]["logs"] == found["gaussian_optimal"]["logs"]
