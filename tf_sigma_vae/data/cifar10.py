"""CIFAR-10, small photographs of ten kinds of things."""

from tf_sigma_vae.data import _tfds


class Cifar10(_tfds.TfdsImages):
    """CIFAR-10: 50,000 training and 10,000 test images, 32x32x3; the archive is 170 MB.

    Source: A. Krizhevsky 2009, through TensorFlow Datasets.
    """

    tfds_name = "cifar10"
