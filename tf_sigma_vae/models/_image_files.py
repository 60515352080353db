"""Images as PNG and JPEG files in a graph, where one file that cannot be read spoils no other.

To decode it would fail, and with it the requests that share the batch. So what is cut off or of
another size is told from the rest without an error. A file that is damaged in its middle is not.
"""

import tensorflow as tf

from tf_sigma_vae.distributions.bin_mass import GREY_LEVELS

CHANNELS = (1, 3)
"""Of the images that can be files."""

_PNG_MARKS = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG_MARKS = b"\xff\xd8\xff", b"\xff\xd9"
"""How files begin and end."""


def read(files: tf.Tensor, image_shape: tuple[int, ...]) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes PNG and JPEG files.

    Args:
      files: Strings `[B]`.
      image_shape: `(H, W, C)`; the files of another number of channels are converted.

    Returns:
      Pair of grey levels uint8 `[B, H, W, C]`, black where a file is not a whole one of that size,
      and whether it is, bool `[B]`.

    Raises:
      tf.errors.InvalidArgumentError: On a file that is damaged in its middle, when it runs.
    """
    channels = image_shape[-1]

    def one(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels = tf.cond(
            _is_whole(file),
            # Reads JPEG files too.
            lambda: tf.io.decode_png(file, channels=channels),
            lambda: tf.zeros([0, 0, channels], tf.uint8),
        )
        is_readable = tf.reduce_all(tf.equal(tf.shape(levels), image_shape))
        black = tf.zeros(image_shape, tf.uint8)
        fitting = tf.cond(is_readable, lambda: tf.reshape(levels, image_shape), lambda: black)
        return fitting, is_readable

    specs = tf.TensorSpec(image_shape, tf.uint8), tf.TensorSpec([], tf.bool)
    return tf.map_fn(one, files, fn_output_signature=specs)


def _is_whole(file: tf.Tensor) -> tf.Tensor:
    """Whether a string begins and ends as a PNG or a JPEG file."""

    def has(first: bytes, last: bytes) -> tf.Tensor:
        begin = tf.equal(tf.strings.substr(file, 0, len(first)), first)
        return begin & tf.equal(tf.strings.substr(file, -len(last), len(last)), last)

    is_long = tf.strings.length(file) >= max(map(len, _PNG_MARKS))
    return tf.cond(is_long, lambda: has(*_PNG_MARKS) | has(*_JPEG_MARKS), lambda: False)


def to_png(images: tf.Tensor, is_readable: tf.Tensor) -> tf.Tensor:
    """PNG files of images.

    Args:
      images: float32 `[B, H, W, C]`; what is not in [0, 1] is clipped.
      is_readable: bool `[B]`, as `read` gives it.

    Returns:
      Strings `[B]`, empty where `is_readable` is false.
    """
    levels = tf.cast(tf.round(tf.clip_by_value(images, 0.0, 1.0) * (GREY_LEVELS - 1)), tf.uint8)
    files = tf.map_fn(tf.io.encode_png, levels, fn_output_signature=tf.TensorSpec([], tf.string))
    return tf.where(is_readable, files, "")
