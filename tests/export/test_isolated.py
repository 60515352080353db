"""Exports of every likelihood, loaded where neither Keras, TFP nor this package can be imported.

By the C API as a server does, and one by TensorFlow's Python alone; what they answer is compared
with the Python model. One process a route for all models.

A model takes some 7 s, nearly all of it for tracing its signatures and for TensorFlow's optimizer
when each is called for the first time. Hence one model is tested always and the others by
`make test-slow`; how many rows are asked for makes no difference.
"""

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

QUICK = "gaussian_optimal"
VARIANTS = [
    pytest.param(variant, marks=() if variant == QUICK else pytest.mark.slow)
    for variant in _goldens.VARIANTS
]
# TensorFlow's Python runs the same graphs by the same kernels: one model shows that it can.
CASES = [pytest.param("c_api", *param.values, marks=param.marks) for param in VARIANTS]
CASES.append(pytest.param("tensorflow", "conv28", marks=pytest.mark.slow))
EVERY_CASE = pytest.mark.parametrize(("route", "variant"), CASES)
# Relative to the largest absolute value of an output, or to 1 if that is smaller; nats of an image,
# which are sums over its D elements of about a nat each, to D if that is larger. Python and a graph
# sum in other orders: 32 roundings of float32 are the square root of its D = 72 terms, times the
# few sums between an image and its score. Some 4e-7 has been seen.
TOLERANCE = 32 * np.finfo(np.float32).eps
NATS = ("elbo", "log_prob", "score")
# Of a gray level before it is rounded: half a level by the rounding itself.
HALF_A_LEVEL = 0.501
# Of two rounded levels: a value halfway between two may go either way.
ONE_LEVEL = 1.0
# A draw of a level is a comparison: where the last bit of a parameter differs, one in a million
# falls on the other side. Two such draws, each with the three channels that depend on it.
FLIPPED_DRAWS = 6


def _close(name, served, golden, variant, levels=HALF_A_LEVEL):
    """Whether an output equals a golden one, files as the levels they hold."""
    if served.dtype == object:
        decoded = [tf.io.decode_png(file).numpy().astype(np.float64) for file in served]
        return all(
            pixels.shape == wanted.shape and np.max(np.abs(pixels - wanted)) <= levels
            for pixels, wanted in zip(decoded, golden, strict=True)
        )
    least = np.prod(_goldens.VARIANTS[variant][1]) if name in NATS else 1.0
    largest = max(least, np.max(np.abs(golden), initial=0.0))
    if served.shape != golden.shape:
        return False
    # Not "above": NaN is no agreement either.
    num_off = np.sum(~(np.abs(served - golden) <= TOLERANCE * largest))
    return num_off <= (FLIPPED_DRAWS if name == "image" else 0)


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """What the chosen tests are of: exports and goldens by model, answers by route and model."""
    folder = tmp_path_factory.mktemp("exports")
    items = [item for item in request.session.items if item.path == request.path]
    given = [item.callspec.params for item in items]
    chosen = {params["variant"] for params in given}
    found = types.SimpleNamespace(folder=folder, goldens={}, answers={}, refused={})
    asked = {}
    for variant in [name for name in _goldens.VARIANTS if name in chosen]:
        model, rows = _goldens.build(variant), _goldens.inputs(variant)
        found.goldens[variant], scores = _goldens.goldens(variant, model, rows)
        model.export(folder / variant, validation_scores=scores)
        asked[variant] = {**requests(rows), **wrong_requests(rows)}
    for route in sorted({params["route"] for params in given if "route" in params}):
        of_route = {params["variant"] for params in given if params.get("route") == route}
        of_route = {variant: asked[variant] for variant in asked if variant in of_route}
        (folder / "requests.pickle").write_bytes(pickle.dumps(of_route))
        run_module("tests.export._isolated", route, folder)
        told = pickle.loads((folder / f"{route}.pickle").read_bytes())
        found.answers[route], found.refused[route] = told["answers"], set(told["refused"])
    return found


@EVERY_CASE
def test_neither_keras_nor_tfp_nor_this_package_could_be_imported(exported, route, variant):
    wanted = {"keras", "tensorflow_probability", "tf_keras", "tf_sigma_vae"}
    assert exported.refused[route] == wanted | ({"tensorflow"} if route == "c_api" else set())


@EVERY_CASE
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


@EVERY_CASE
def test_five_rows_are_answered_as_five_requests_of_one(exported, route, variant):
    answers = exported.answers[route][variant]
    for signature in INPUTS:
        together = answers[f"{signature} {FEW}"]
        alone = [answers[f"{signature} row {row}"] for row in range(FEW)]
        for name, values in together.items():
            joined = np.concatenate([of_row[name] for of_row in alone])
            if values.dtype == object:
                joined = np.stack([tf.io.decode_png(file).numpy() for file in joined])
            assert _close(name, values, joined, variant, ONE_LEVEL), (signature, name)


@EVERY_CASE
def test_samples_are_functions_of_the_seed_of_their_row(exported, route, variant):
    answers = exported.answers[route][variant]
    for signature in SEEDED:
        few, again, in_order, other = (
            answers[f"{signature} {which}"] for which in (FEW, "again", "in order", "other")
        )
        for name, values in few.items():
            np.testing.assert_array_equal(again[name], values)
            assert _close(name, in_order[name], values[ORDER], variant), (signature, name)
        # Two scores of other noise are the same number once in 10^5: one of the five may be.
        drawn, least = (("image", "z"), FEW) if signature == "sample" else (("elbo",), FEW - 1)
        for name in drawn:
            changed = [np.any(a != b) for a, b in zip(few[name], other[name], strict=True)]
            assert sum(changed) >= least, name
            # Five seeds, five draws.
            assert len({row.tobytes() for row in few[name]}) >= least, name


@EVERY_CASE
def test_a_bad_row_is_answered_by_nan_and_leaves_the_others_bit_for_bit(exported, route, variant):
    answers = exported.answers[route][variant]
    good = [row for row in range(FEW) if row not in SPOILED]
    for signature in SPOILED_SIGNATURES:
        few, spoiled = answers[f"{signature} {FEW}"], answers[f"{signature} spoiled"]
        for name, values in spoiled.items():
            np.testing.assert_array_equal(values[good], few[name][good], err_msg=signature)
            assert np.all(np.isnan(values[list(SPOILED)])), (signature, name)


@EVERY_CASE
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
