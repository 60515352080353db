"""How close a predicted frame comes to the true one: PSNR and SSIM, a number for each frame.

Frames `[..., H, W, C]` are float in [0, 1], or uint8; the signal's peak is 1. Floats outside of
[0, 1] are taken as they are.

    psnr = -10 log10(mse),    mse = mean over pixels and channels of (x - y)^2;

    ssim = mean over windows and channels of
           (2 mu_x mu_y + C1) (2 cov_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2)),

the moments weighted by a Gaussian of standard deviation 1.5 in windows of 11x11 that lie inside the
frame, C1 = 0.01^2, C2 = 0.03^2. Source: Wang et al. 2004, "Image Quality Assessment: From Error
Visibility to Structural Similarity", Eq. 13; the evaluations of Finn et al. 2016 and Babaeizadeh et
al. 2018 take it with these settings.

The code published with Denton & Fergus 2018 makes its figures otherwise, and larger: it calls
scikit-image on float frames with the defaults, which are windows of 7x7 with equal weights, the
unbiased covariance and, in place of 1, a range of values of 2, guessed from the type (C1 and C2
four times as large); and its PSNR is the mean of those of the channels, not that of the mean error.
A figure from here is to be compared with one from there for grey frames and PSNR only.
"""

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import TensorLike

SSIM_WINDOW = 11
SSIM_SCALE = 1.5
"""Standard deviation of the window's weights, pixels."""
_SSIM = {"filter_size": SSIM_WINDOW, "filter_sigma": SSIM_SCALE, "k1": 0.01, "k2": 0.03}


def psnr(x: TensorLike, predicted: TensorLike) -> tf.Tensor:
    """Peak signal-to-noise ratio of each frame, dB: float32 `[...]`; infinite for an exact copy.

    Args:
      x: True frames `[..., H, W, C]`, float in [0, 1] or uint8.
      predicted: Frames of the same shape, of either type.

    Raises:
      ValueError: If the shapes differ, or these are no frames.
      TypeError: On another type.
    """
    return tf.image.psnr(*_frames(x, predicted), max_val=1.0)


def ssim(x: TensorLike, predicted: TensorLike) -> tf.Tensor:
    """Structural similarity of each frame: float32 `[...]`, 1 for an exact copy.

    Of float32 moments: within 1e-5 of the exact one, 1e-3 where frames are bright and flat.

    Args:
      x: True frames `[..., H, W, C]`, float in [0, 1] or uint8; H and W at least 11.
      predicted: Frames of the same shape, of either type.

    Raises:
      ValueError: If the shapes differ, the frames are too small, or these are no frames.
      TypeError: On another type.
    """
    x, predicted = _frames(x, predicted)
    height, width = x.shape[-3:-1]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM has windows of {SSIM_WINDOW}x{SSIM_WINDOW}, the frames have {height}x{width}"
        )
    return tf.image.ssim(x, predicted, max_val=1.0, **_SSIM)


def _frames(*given: TensorLike) -> list[tf.Tensor]:
    """As float32 in [0, 1], checked."""
    tensors = [tf.convert_to_tensor(one) for one in given]
    shapes = [tensor.shape for tensor in tensors]
    for shape in shapes:
        if shape.rank is None or shape.rank < 3 or None in shape[-3:]:
            raise ValueError(
                f"frames must be [..., H, W, C] of known height and width, got {shape}"
            )
    first, second = shapes
    if not first.is_compatible_with(second):
        raise ValueError(f"the frames have shape {first}, those to compare with {second}")
    return [_as_float(tensor) for tensor in tensors]


def _as_float(frames: tf.Tensor) -> tf.Tensor:
    if frames.dtype == tf.uint8:
        return tf.cast(frames, tf.float32) / np.float32(255.0)
    if not frames.dtype.is_floating:
        raise TypeError(f"frames must be float in [0, 1] or uint8, got {frames.dtype.name}")
    return tf.cast(frames, tf.float32)
