"""The evaluation of a hierarchy: a rate for each level, and no figure of flat latents alone."""

import numpy as np
import pytest
import scipy.stats

from tests._models import LATENT_SIZE
from tests.evaluation._eagerly import eagerly
from tests.evaluation._hierarchies import hierarchy, unit_interval
from tests.evaluation._hierarchies import levels as images_of
from tf_sigma_vae.evaluation import evaluate_model, levels, record, table
from tf_sigma_vae.evaluation.evaluate import CONVENTIONS, ordered, unit_of

NUM_EXAMPLES = 7
# Batches of other sizes may round float32 sums otherwise.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def model():
    return hierarchy(stochastic_bottom_up=True)


@pytest.fixture(scope="module")
def evaluated(model):
    with eagerly():
        return evaluate_model(model, images_of(NUM_EXAMPLES), 2, global_batch_size=4)


def test_the_rate_of_a_level_is_the_mean_over_images_with_its_error(model, evaluated):
    groups = model(unit_interval(images_of(NUM_EXAMPLES))).rate_groups.numpy().astype(np.float64)
    for level, values in enumerate(groups.T):
        found = evaluated.metrics[f"rate_level_{level}"]
        error = pytest.approx(scipy.stats.sem(values), rel=1e2 * ROUNDING)
        assert found == (pytest.approx(values.mean(), rel=ROUNDING), error, "nats")


def test_the_rates_of_the_levels_follow_the_rate_and_sum_to_it(evaluated):
    names = list(evaluated.metrics)
    assert names[1:5] == ["rate", "rate_level_0", "rate_level_1", "distortion"]
    total = sum(evaluated.metrics[name].value for name in levels.names_among(names))
    assert total == pytest.approx(evaluated.metrics["rate"].value, rel=ROUNDING)


def test_a_hierarchy_has_no_active_units_and_says_why(evaluated):
    assert "active_units" not in evaluated.metrics
    assert "depends on what was drawn above" in evaluated.protocol["conventions"]["active_units"]
    # Of the lower level as many channels again are drawn on the way up.
    assert evaluated.protocol["level_shapes"] == [[1, 1, LATENT_SIZE], [2, 3, 4]]


@pytest.mark.slow
def test_one_level_is_evaluated_as_a_flat_latent_is():
    with eagerly():
        found = evaluate_model(hierarchy(latents=[(1, 1)]), images_of(3), num_samples=0)
    assert levels.names_among(found.metrics) == []
    assert "active_units" in found.metrics
    assert found.protocol["conventions"] == CONVENTIONS
    assert "level_shapes" not in found.protocol


def test_the_record_of_a_hierarchy_is_read_as_it_was_written(evaluated, tmp_path):
    record.write(evaluated, str(tmp_path / "evaluation.json"))
    assert record.read(str(tmp_path / "evaluation.json")) == evaluated


def test_levels_are_in_the_order_of_their_numbers():
    names = [f"rate_level_{level}" for level in range(11)]
    assert ordered(["distortion", *sorted(names), "no_metric", "elbo", "rate"]) == [
        "elbo",
        "rate",
        *names,
        "distortion",
    ]
    assert ordered(reversed(names)) == names
    assert (unit_of("rate_level_10"), unit_of("mse")) == ("nats", "data^2")


def test_the_table_has_a_row_a_level_and_says_what_it_is(evaluated):
    flat = evaluated._replace(
        metrics={name: evaluated.metrics[name] for name in ("elbo", "rate", "distortion")}
    )
    lines = table.table({"deep": evaluated, "flat": flat}).splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows["rate_level_1"].rstrip().endswith(table.ABSENT)
    assert table.number(evaluated.metrics["rate_level_1"]) in rows["rate_level_1"]
    assert table.LEVELS_NOTE in "\n".join(lines)
    assert table.LEVELS_NOTE not in table.table({"flat": flat})
