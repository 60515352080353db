"""A network of whole clips, for distances between videos.

It must map clips `[B, T, H, W, C]` to features `[B, D]`. With the I3D network of Unterthiner et al.
2018, "Towards Accurate Generative Models of Video", trained on Kinetics-400, and its preprocessing
inside the file, the Frechet distance of its features is FVD; with any other network it is not.
"""

import os

import numpy as np
import tensorflow as tf

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation.fid.extractors._base import MAX_LEVEL, RESIZE, prepared
from tf_sigma_vae.evaluation.fid.extractors.saved_file import LEFT_TO_NETWORK, load_network
from tf_sigma_vae.evaluation.fid.protocol import Extraction

NAME = "clip_network"
FVD_NOTE = (
    "a Frechet distance of clips is FVD only with the I3D network of Unterthiner et al. 2018 and "
    "its preprocessing; of any other network it is a distance of that network"
)


class ClipNetwork:
    """A network given by its path; as an `Extractor`, but of clips.

    Attributes:
      extraction: The record of what it does.
      channels: Channels that the network takes.
      clip_length: Frames that it takes; None for any number.
    """

    def __init__(self, path: str, input_range: tuple[float, float] = (0.0, MAX_LEVEL)) -> None:
        """Loads the network.

        Args:
          path: A `.keras` file, or the folder of a SavedModel with the signature
            `serving_default`. One whose height and width are fixed gets frames of that size
            (bilinear, half-pixel centers, antialiased).
          input_range: What the network wants grey levels 0 and 255 to be.

        Raises:
          ValueError: If the network has not one input of clips and one output.
          FileNotFoundError: If there is nothing at the path.
        """
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no network of clips at {path!r}")
        network, shape = load_network(path, "T, H, W, C")
        self.clip_length, height, width, channels = shape[1:]
        self.channels = channels or 3
        size = (height, width) if height and width else None
        self.extraction = Extraction(
            extractor=NAME,
            content_hash=sha256(path),
            resize=RESIZE if size else LEFT_TO_NETWORK,
            size=size,
            input_range=input_range,
        )

        spec = tf.TensorSpec([None, self.clip_length, None, None, self.channels])

        @tf.function(input_signature=[spec])
        def extract(levels: tf.Tensor) -> tf.Tensor:
            num_clips, num_frames, *sides = tf.unstack(tf.shape(levels))[:4]
            frames = tf.reshape(levels, [-1, *sides, self.channels])
            frames = prepared(frames, size, input_range)
            shape = [num_clips, self.clip_length or num_frames, *(size or sides), self.channels]
            return network(tf.reshape(frames, shape))

        self._extract = extract

    def check(self, clip_length: int, channels: int) -> None:
        """Checks that clips can go through the network.

        Raises:
          ValueError: If not; the message says what it takes.
        """
        if self.clip_length not in (None, clip_length):
            raise ValueError(
                f"the {self.extraction.label} takes clips of {self.clip_length} frames, those of "
                f"the evaluation have {clip_length}"
            )
        if channels not in (1, self.channels):
            raise ValueError(
                f"the {self.extraction.label} takes clips of {self.channels} channels, or of one, "
                f"got {channels}"
            )

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Extracts features.

        Args:
          clips: `[B, T, H, W, C]`, grey levels 0 to 255, uint8 or float32. C is that of the
            network, or 1: then the channel is repeated.

        Returns:
          float32 `[B, D]`.

        Raises:
          ValueError: If the clips are of another shape, or the features no vector for each.
          FloatingPointError: If a feature is not finite.
        """
        self.check(clips.shape[1], clips.shape[-1])
        repeats = self.channels // clips.shape[-1]
        levels = np.repeat(clips.astype(np.float32), repeats, axis=-1)
        features = np.asarray(self._extract(levels), np.float32)
        if features.ndim != 2 or len(features) != len(clips):
            raise ValueError(
                f"features must be [B, D], got {features.shape} from {self.extraction.label} for "
                f"{len(clips)} clips"
            )
        if not np.all(np.isfinite(features)):
            raise FloatingPointError(f"a feature of {self.extraction.label} is not finite")
        return features
