"""MNIST, handwritten digits."""

from tf_sigma_vae.data import _tfds


class Mnist(_tfds.TfdsImages):
    """MNIST: 60,000 training and 10,000 test images, 28x28x1; the archives are 11.6 MB.

    Source: Y. LeCun, C. Cortes and C. Burges, through TensorFlow Datasets.
    """

    tfds_name = "mnist"
