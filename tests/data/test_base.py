import numpy as np
import pytest

from tf_sigma_vae.data import _base

X = np.zeros((4, 3, 5, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": X}, r"splits must be train, test and optionally validation, got \['train'\]"),
        ({"train": X, "test": X, "extra": X}, "splits must be train, test"),
        ({"train": X, "test": X.astype(np.int32)}, "'test': images must be uint8.* got int32"),
        ({"train": X[..., 0], "test": X}, r"'train': images must be \[N, H, W, C\]"),
        ({"train": X[:0], "test": X}, "'train': there are no images in it"),
        ({"train": X, "test": X[:, :2]}, "image shapes differ between splits"),
    ],
)
def test_arrays_that_break_the_contract_are_refused(arrays, message):
    class Broken(_base.ImageDataset):
        """Returns what it is asked to."""

        def _read(self, data_dir, download):
            return arrays

    with pytest.raises(ValueError, match=message):
        Broken().load()


def test_plug_in_without_a_reader_says_so():
    with pytest.raises(NotImplementedError, match="ImageDataset does not implement _read"):
        _base.ImageDataset().load()


def test_held_out_examples_follow_the_seed_and_the_fraction():
    first, again, other = (_base.held_out(40, 0.3, seed, "x") for seed in (0, 0, 1))
    assert first.sum() == 12
    assert (first == again).all()
    assert (first != other).any()
