"""Tiny prepared TFDS data, made without any archive."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_sigma_vae.data import _tfds


def _examples(features, images):
    for index, image in enumerate(images):
        example = {"image": image, "label": index % 10, "id": str(index)}
        yield {name: example[name] for name in features}


@pytest.fixture
def store(tmp_path):
    """Stores arrays, uint8 `[N, H, W, C]` by split, as the prepared data of a known builder."""
    import tensorflow as tf

    def store_arrays(name: str, arrays: dict[str, np.ndarray]) -> str:
        builder = _tfds.builder(name, str(tmp_path))
        features = builder.info.features
        signature = {key: f.get_tensor_spec() for key, f in features.items()}
        datasets = {
            split: tf.data.Dataset.from_generator(
                lambda images=images: _examples(features, images), output_signature=signature
            )
            for split, images in arrays.items()
        }
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=str(builder.version),
            features=features,
            split_datasets=datasets,
            data_dir=tmp_path,
            disable_shuffling=True,
        )
        return str(tmp_path)

    return store_arrays


@pytest.fixture
def images():
    """Draws distinct images, uint8 `[N, H, W, C]`, repeatably."""

    def draw(*shape: int) -> np.ndarray:
        return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)

    return draw
