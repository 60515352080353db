"""What is refused before it is published."""

import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae.export import check

SHAPE = (4, 6, 3)
# Those that are compared with the methods of the model, and one that is drawn: the others take
# time to trace, and are compared as the last one is.
COMPARED = ("encode", "decode", "reconstruct", "anomaly", "sample")


@pytest.fixture(scope="module")
def model():
    made = set_weights(tiny_vae("gaussian_optimal", image_shape=SHAPE))
    made.calibrate(images(20, SHAPE))
    return made


@pytest.fixture(scope="module")
def functions(model):
    return model.signatures(validation_scores=np.linspace(-9.0, 9.0, 7))


@pytest.fixture(scope="module")
def requests(model, functions):
    return check.requests(model, functions, images(3, SHAPE))


@pytest.fixture(scope="module")
def folder(model, functions, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "saved"
    model.export(path, functions=only(functions, *COMPARED))
    return str(path)


def only(functions, *names):
    return {name: functions[name] for name in names}


def test_scale_that_was_never_computed_is_refused():
    with pytest.raises(check.ExportError, match="GaussianOptimal was never calibrated .*none"):
        check.require_exportable(tiny_vae("gaussian_optimal"))


def test_scale_of_the_last_batches_is_refused():
    model = tiny_vae("gaussian_optimal_per_image", image_shape=SHAPE)
    model.likelihood.num_updates.assign(3)
    with pytest.raises(check.ExportError, match="moving average.*config.calibrate=True"):
        check.require_exportable(model)
    model.calibrate(images(8, SHAPE))
    check.require_exportable(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weight_that_is_not_finite_is_refused_by_its_name(value):
    model = tiny_vae("gaussian_fixed", image_shape=SHAPE)
    weights = model.decoder.get_weights()
    weights[0][1, 2] = value
    model.decoder.set_weights(weights)
    with pytest.raises(check.ExportError, match="1 of 15 values of the weight .*decoder.*kernel"):
        check.require_exportable(model)


def test_every_output_of_a_faithful_export_is_compared(model, functions, requests, folder):
    compared = only(functions, *COMPARED)
    found = check.differences(model, compared, folder, requests)
    expected = {
        (name, output)
        for name, function in compared.items()
        for output in function(*requests[name].values())
    }
    assert {(d.signature, d.output) for d in found} == expected
    assert max(d.difference for d in found) <= check.TOLERANCE


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("decoder", "differs from the Python model: .* by "),
        ("likelihood", "scale of signature"),
    ],
)
def test_export_of_another_model_is_refused(model, functions, requests, folder, part, message):
    variable = getattr(model, part).weights[0]
    before = variable.numpy()
    try:
        variable.assign(before * 1.001)
        with pytest.raises(check.ExportError, match=message):
            check.differences(model, only(functions, "decode"), folder, requests)
    finally:
        variable.assign(before)


def test_signature_that_says_other_things_than_the_model_is_refused(model, requests, tmp_path):
    """Both what was saved and what it is compared with come from the same wrong formula."""
    right = model.signatures()["encode"]
    encode, spec = right.python_function, right.input_signature

    @tf.function(input_signature=spec)
    def twice(images):
        return {**encode(images), "z_scale": 2.0 * encode(images)["z_scale"]}

    wrong = {"encode": twice}
    model.export(tmp_path / "saved", functions=wrong)
    with pytest.raises(check.ExportError, match="z_scale of signature encode"):
        check.differences(model, wrong, str(tmp_path / "saved"), requests)


def test_answers_that_are_not_finite_are_refused(model, functions, requests, folder):
    bad = {name: dict(given) for name, given in requests.items()}
    bad["decode"]["z"] = np.full_like(bad["decode"]["z"], np.nan)
    with pytest.raises(check.ExportError, match="of signature decode by nan"):
        check.differences(model, only(functions, "decode"), folder, bad)


def test_requests_are_real_ones(model, functions):
    x = images(3, SHAPE)
    found = check.requests(model, functions, x)
    assert set(found) == set(functions)
    np.testing.assert_array_equal(found["encode"]["images"], x)
    np.testing.assert_allclose(found["decode"]["z"], model.encode(x).mean())
    file = found["anomaly_bytes"]["image_bytes"][1]
    np.testing.assert_array_equal(tf.io.decode_png(file), np.round(255 * x[1]))
    assert found["sample"]["seed"].dtype == np.int32
    assert len({tuple(seed) for seed in found["sample"]["seed"]}) == 3
