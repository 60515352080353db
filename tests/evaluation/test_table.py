import pytest

from tf_sigma_vae.evaluation import table
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation

PROTOCOL = {"dataset": "digits", "split": "test", "num_examples": 360, "num_samples": 64}
PROTOCOL["measure"] = "density"


def evaluation(protocol=None, **values):
    metrics = {name: Estimate(value, 0.5, "nats") for name, value in values.items()}
    return Evaluation(metrics, {**PROTOCOL, **(protocol or {})})


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (-581.6234, 0.4512, "-581.62 ± 0.45"),
        (0.0123456, 0.00012, "0.01235 ± 0.00012"),
        (1234.5, 120.0, "1234 ± 120"),
        (20.0, 0.0, "20"),
        (-1.907573581, 1e-17, "-1.90757"),
        (0.0, 0.0, "0"),
    ],
)
def test_numbers_have_two_digits_of_their_error(value, error, expected):
    assert table.number(Estimate(value, error, "nats")) == expected


def test_a_column_a_run_and_a_row_a_metric():
    text = table.table({"a": evaluation(elbo=1.0, rate=2.0), "b": evaluation(elbo=3.0)})
    rows = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["metric", "unit", "a", "b"]
    assert cells[2] == ["elbo", "nats", "1.00 ± 0.50", "3.00 ± 0.50"]
    assert cells[3] == ["rate", "nats", "2.00 ± 0.50", "-"]
    assert len({len(line) for line in text.splitlines()[:4]}) == 1


def test_a_common_protocol_is_told_once():
    text = table.table({"a": evaluation(elbo=1.0), "b": evaluation(elbo=3.0)})
    assert text.count("digits test: 360 images, iwae of 64 samples") == 1


def test_protocols_that_differ_are_told_apart():
    runs = {"a": evaluation(elbo=1.0), "b": evaluation({"num_samples": 0}, elbo=3.0)}
    lines = table.table(runs).splitlines()
    assert lines[-2].startswith("a: digits test: 360 images, iwae of 64 samples")
    assert lines[-1].startswith("b: digits test: 360 images, no iwae")


def test_figures_that_are_no_likelihoods_are_said_to_be_none():
    assert "not likelihoods" not in table.table({"a": evaluation(elbo=1.0)})
    for name in ("elbo_batch_scale", "distortion_image_scale"):
        assert "not likelihoods" in table.table({"a": evaluation(**{"elbo": 1.0, name: 2.0})})


def test_an_elbo_without_a_likelihood_is_said_to_be_none():
    grey = evaluation({"measure": None}, elbo=1.0)
    text = table.table({"a": evaluation(elbo=1.0), "grey": grey})
    assert "grey: log_prob of grey values is no likelihood" in text
    assert "no likelihood" not in table.table({"a": evaluation(elbo=1.0)})


def test_probabilities_and_densities_are_said_not_to_compare():
    mass = evaluation({"measure": "mass"}, elbo=1.0)
    assert "compare the two by" in table.table({"a": evaluation(elbo=1.0), "b": mass})
    assert "compare the two by" not in table.table({"a": mass, "b": mass})


def test_a_number_that_is_not_finite_is_never_written():
    with pytest.raises(ValueError, match="JSON"):
        table.to_json(evaluation(elbo=float("nan")))
