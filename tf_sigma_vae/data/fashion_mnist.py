"""Fashion-MNIST, pictures of clothes."""

from tf_sigma_vae.data import _tfds


class FashionMnist(_tfds.TfdsImages):
    """Fashion-MNIST: 60,000 training and 10,000 test images, 28x28x1; the archives are 30.9 MB.

    Source: H. Xiao, K. Rasul and R. Vollgraf 2017, through TensorFlow Datasets.
    """

    tfds_name = "fashion_mnist"
