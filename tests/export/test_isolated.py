"""Exports of every likelihood, loaded where neither Keras, TFP nor this package can be imported.

By TensorFlow's Python alone, and by the C API as a server does; what they answer is compared with
the Python model. One process a route for all models.

A model takes some 7 s, nearly all of it for tracing its signatures and for TensorFlow's optimizer
when each is called for the first time, twice. Hence the models of `QUICK` are tested always and the
others by `make test-slow`; how many rows are asked for makes no difference.
"""

import concurrent.futures
import pickle
import types

import numpy as np
import pytest
import tensorflow as tf

from tests._printed import run_module
from tests.export import _audit, _goldens, _tables
from tests.export._capi import INVALID_ARGUMENT
from tests.export._requests import (
    FEW,
    INPUTS,
    ORDER,
    SEEDED,
    SIZES,
    SPOILED,
    SPOILED_SIGNATURES,
    requests,
    wrong_requests,
)

ROUTES = ("tensorflow", "c_api")
# A mass without a scale on a dense network, and a scale on a convolutional one.
QUICK = ("categorical", "conv28")
VARIANTS = [
    pytest.param(variant, marks=() if variant in QUICK else pytest.mark.slow)
    for variant in _goldens.VARIANTS
]
# Relative to the largest absolute value of an output, or to 1 if that is smaller; nats of an image,
# which are sums over its D elements of about a nat each, to D if that is larger.
TOLERANCE = 1e-6
NATS = ("elbo", "log_prob", "score")
# Of a grey level before it is rounded: half a level by the rounding itself.
HALF_A_LEVEL = 0.501


def _close(name, served, golden, variant):
    """Whether an output equals a golden one, files as the levels they hold."""
    if served.dtype == object:
        levels = [tf.io.decode_png(file).numpy().astype(np.float64) for file in served]
        return all(
            pixels.shape == wanted.shape and np.max(np.abs(pixels - wanted)) <= HALF_A_LEVEL
            for pixels, wanted in zip(levels, golden, strict=True)
        )
    least = np.prod(_goldens.VARIANTS[variant][1]) if name in NATS else 1.0
    largest = max(least, np.max(np.abs(golden), initial=0.0))
    return (
        served.shape == golden.shape
        and np.max(np.abs(served - golden), initial=0.0) <= TOLERANCE * largest
    )


def _asked(route, folder):
    """What a process that has nothing but one route to the SavedModels finds."""
    run_module("tests.export._isolated", route, folder)
    return pickle.loads((folder / f"{route}.pickle").read_bytes())


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """The models that the chosen tests are of: their exports, goldens, and each route's answers."""
    folder = tmp_path_factory.mktemp("exports")
    chosen = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {spec.params.get("variant") for spec in chosen if spec is not None}
    found = types.SimpleNamespace(folder=folder, goldens={}, answers={}, refused={})
    asked = {}
    for variant in [name for name in _goldens.VARIANTS if name in chosen]:
        model, given = _goldens.build(variant), _goldens.inputs(variant)
        found.goldens[variant], scores = _goldens.goldens(variant, model, given)
        model.export(folder / variant, validation_scores=scores)
        asked[variant] = {**requests(given), **wrong_requests(given)}
    (folder / "requests.pickle").write_bytes(pickle.dumps(asked))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for route, told in zip(ROUTES, pool.map(_asked, ROUTES, [folder] * 2), strict=True):
            found.answers[route], found.refused[route] = told["answers"], set(told["refused"])
    return found


@pytest.mark.parametrize("route", ROUTES)
def test_neither_keras_nor_tfp_nor_this_package_could_be_imported(exported, route):
    wanted = {"keras", "tensorflow_probability", "tf_keras", "tf_sigma_vae"}
    assert exported.refused[route] == wanted | ({"tensorflow"} if route == "c_api" else set())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_every_signature_answers_as_the_python_model_for_any_number_of_rows(
    exported, route, variant
):
    answers, goldens = exported.answers[route][variant], exported.goldens[variant]
    assert set(goldens) == set(INPUTS)
    for signature, golden in goldens.items():
        # oneDNN's fused convolution takes no empty batch.
        for size in SIZES if _goldens.VARIANTS[variant][2] == "dense" else SIZES[1:]:
            served = answers[f"{signature} {size}"]
            assert set(served) == set(golden), (signature, served)
            for name, values in golden.items():
                assert served[name].dtype == (object if name.endswith("_bytes") else np.float32)
                assert len(served[name]) == size
                assert _close(name, served[name], values[:size], variant), (signature, size, name)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_five_rows_are_answered_as_five_requests_of_one(exported, route, variant):
    answers = exported.answers[route][variant]
    for signature in INPUTS:
        together = answers[f"{signature} {FEW}"]
        alone = [answers[f"{signature} row {row}"] for row in range(FEW)]
        for name, values in together.items():
            joined = np.concatenate([of_row[name] for of_row in alone])
            if values.dtype == object:
                joined = np.stack([tf.io.decode_png(file).numpy() for file in joined])
            assert _close(name, values, joined, variant), (signature, name)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_samples_are_functions_of_the_seed_of_their_row(exported, route, variant):
    answers = exported.answers[route][variant]
    for signature in SEEDED:
        few, again, in_order, other = (
            answers[f"{signature} {which}"] for which in (FEW, "again", "in order", "other")
        )
        for name, values in few.items():
            np.testing.assert_array_equal(again[name], values)
            np.testing.assert_allclose(
                in_order[name], values[ORDER], rtol=TOLERANCE, atol=TOLERANCE
            )
        drawn = ("image", "z") if signature == "sample" else ("elbo", "log_prob")
        for name in drawn:
            assert all(np.any(a != b) for a, b in zip(few[name], other[name], strict=True)), name
            # Five seeds, five draws.
            assert len({row.tobytes() for row in few[name]}) == FEW


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_bad_row_is_answered_by_nan_and_leaves_the_others_bit_for_bit(exported, route, variant):
    answers = exported.answers[route][variant]
    good = [row for row in range(FEW) if row not in SPOILED]
    for signature in SPOILED_SIGNATURES:
        few, spoiled = answers[f"{signature} {FEW}"], answers[f"{signature} spoiled"]
        for name, values in spoiled.items():
            np.testing.assert_array_equal(values[good], few[name][good], err_msg=signature)
            assert np.all(np.isnan(values[list(SPOILED)])), (signature, name)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_wrong_shape_or_file_is_an_invalid_argument(exported, route, variant):
    answers = exported.answers[route][variant]
    wrong = wrong_requests(_goldens.inputs(variant))
    codes = {name: answers[name].get("code") for name in wrong}
    assert codes == dict.fromkeys(wrong, INVALID_ARGUMENT)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_graph_has_the_signatures_of_the_table_and_no_problem(exported, variant):
    meta_graph = _audit.read(exported.folder / variant)
    likelihood, shape, _ = _goldens.VARIANTS[variant]
    assert _audit.table(meta_graph) == _tables.expected(likelihood, shape)
    assert _audit.problems(meta_graph) == set()
