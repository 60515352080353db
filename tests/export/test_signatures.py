"""The signatures by the table and the goldens of `test_isolated`, of the heads that it leaves out.

They are asked in Python, as they are before they are saved.
"""

import numpy as np
import pytest

from tests._models import LATENT_SIZE, images, tiny_vae
from tests._representatives import REPRESENTATIVES
from tests.export import _goldens, _tables

SHAPE = (4, 6, 3)
# Whose outputs differ between the likelihoods.
TRACED = ("serving_default", "decode")
# Float32 sums of 72 masses, each a difference of two numbers near 1; relative.
ROUNDING = 1e-5


def _plain(names_and_specs):
    """`{name: (dtype, shape)}` of tensor specs, as in `_audit.table`."""
    return {
        name: (
            {"float32": "float"}.get(spec.dtype.name, spec.dtype.name),
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in names_and_specs
    }


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_every_kind_of_likelihood_has_the_signatures_of_the_table(name):
    model = tiny_vae(name, SHAPE)
    model.calibrate(images(8, SHAPE))
    functions, expected = model.signatures([1.0, 2.0]), _tables.expected(name, SHAPE)
    assert _tables.LATENT_SIZE == LATENT_SIZE
    assert set(functions) == set(expected)
    for signature in functions:
        specs = functions[signature].input_signature
        assert _plain((spec.name, spec) for spec in specs) == expected[signature][0]
    for signature in TRACED:
        outputs = functions[signature].get_concrete_function().structured_outputs
        assert _plain(outputs.items()) == expected[signature][1]


def test_images_of_two_channels_have_no_files_and_no_scores_no_p_value():
    functions = tiny_vae("gaussian_shared", (4, 6, 2)).signatures()
    expected = _tables.expected("gaussian_shared", (4, 6, 2), has_p_value=False)
    assert set(functions) == set(expected)
    outputs = functions["anomaly"].get_concrete_function().structured_outputs
    assert _plain(outputs.items()) == expected["anomaly"][1]


# A mass, and a likelihood whose bits are asked of `bin_log_mass`.
@pytest.mark.parametrize("variant", ["categorical", "bernoulli"])
def test_bits_of_what_is_no_density_are_those_of_the_python_model(variant):
    model, given = _goldens.build(variant), _goldens.inputs(variant)
    x, seed = given["images"][:5], given["seed"][:5]
    found, expected = model.signatures()["elbo"](x, seed), _goldens.elbo(model, x, seed)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=ROUNDING, err_msg=name)
