import numpy as np
from sklearn import datasets

from tf_sigma_vae.data.digits import Digits


def test_all_digits_are_in_exactly_one_split():
    loaded = Digits().load()
    assert loaded["train"].shape == (1437, 8, 8, 1)
    assert loaded["test"].shape == (360, 8, 8, 1)
    together = np.concatenate([loaded["train"], loaded["test"]]).reshape(1797, 64)
    # No two of the scans are equal, so that as many distinct ones are left.
    assert len(np.unique(together, axis=0)) == 1797


def test_ink_counts_are_scaled_to_grey_levels_and_rounded():
    loaded = Digits().load()
    levels = np.unique(np.concatenate([loaded["train"].ravel(), loaded["test"].ravel()]))
    expected = [round(255 * count / 16) for count in range(17)]
    assert levels.tolist() == expected
    first = np.round(datasets.load_digits().images[0] * 255 / 16)
    together = np.concatenate([loaded["train"], loaded["test"]])[..., 0]
    assert (together == first).all(axis=(1, 2)).sum() == 1


def test_the_split_is_always_the_same():
    first, second = Digits().load(), Digits().load()
    np.testing.assert_array_equal(first["test"], second["test"])
    np.testing.assert_array_equal(first["train"], second["train"])
