"""`inception_2015`: the network of FID, and the only one whose distance bears that name.

The frozen graph of December 2015 that the reference implementation of FID runs. Images of any size
go in as grey levels at `ExpandDims:0`; the graph itself resizes them to 299 x 299 (bilinear, with
the corners of TensorFlow 1: half a pixel off, not antialiased, and part of the definition) and
scales them; the 2,048 features are `pool_3:0`. Nothing is resized here.

The graph is run in a session of its own, as TensorFlow 1 did: its batch normalization is an
operation that left the language in version 9 of graphs, which a `tf.function` cannot call.

Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule".
"""

import keras
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation.fid.extractors._base import Extractor
from tf_sigma_vae.evaluation.fid.protocol import FID_GRAPH_SHA256, Extraction

FILE = "classify_image_graph_def.pb"
URL = f"https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/{FILE}"
"""A copy of the file alone; upstream it is in the archive inception-2015-12-05.tgz."""
INPUT, RESIZE, OUTPUT = "ExpandDims", "ResizeBilinear", "pool_3"


class Inception2015(Extractor):
    """The frozen Inception graph of 2015."""

    def __init__(self, path: str | None = None) -> None:
        """Reads the graph.

        Args:
          path: Of `classify_image_graph_def.pb`; None to download it (96 MB, once, to the cache
            of Keras, its SHA-256 checked). Distances of a graph with another hash are not called
            FID.

        Raises:
          FileNotFoundError: If there is no file.
          ConnectionError: If it cannot be downloaded; the message says what to do.
          ValueError: If the file is no graph, or has not the tensors of this one.
        """
        path = _download() if path is None else path
        content_hash = sha256(path)
        graph_def = _read(path)
        self._input, self._output, self._session = _session(graph_def)
        size, method = _resizing(graph_def)
        self.extraction = Extraction(
            extractor=self.plugin_name(),
            content_hash=content_hash,
            resize=method,
            size=size,
            input_range=(0.0, 255.0),
        )

    def extract(self, levels: np.ndarray) -> np.ndarray:
        """See `Extractor.extract`."""
        found = self._session.run(self._output, {self._input: levels})
        return found.reshape(len(levels), -1)


def _download() -> str:
    try:
        return keras.utils.get_file(FILE, URL, file_hash=FID_GRAPH_SHA256, hash_algorithm="sha256")
    # Keras raises a bare Exception where the network fails.
    except Exception as error:
        raise ConnectionError(
            f"cannot download the FID graph from {URL}: {error}. Fetch {FILE} elsewhere (it is in "
            "the archive inception-2015-12-05.tgz too) and give its path."
        ) from error


def _read(path: str) -> tf.compat.v1.GraphDef:
    """The graph in a file.

    Raises:
      ValueError: If there is none, or a tensor is missing.
    """
    graph_def = tf.compat.v1.GraphDef()
    try:
        with open(path, "rb") as file:
            graph_def.ParseFromString(file.read())
    except DecodeError as error:
        raise ValueError(f"{path!r} holds no graph: {error}") from error
    present = {node.name for node in graph_def.node}
    missing = [f"{name}:0" for name in (INPUT, RESIZE, OUTPUT) if name not in present]
    if missing:
        raise ValueError(f"{path!r} is not the graph of FID: it has no {', '.join(missing)}")
    return graph_def


def _session(graph_def: tf.compat.v1.GraphDef) -> tuple[tf.Tensor, tf.Tensor, tf.compat.v1.Session]:
    """Input, output and session of the graph, for batches of any number and size of images."""
    graph = tf.Graph()
    with graph.as_default():
        levels = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3])
        (output,) = tf.graph_util.import_graph_def(
            graph_def, {f"{INPUT}:0": levels}, return_elements=[f"{OUTPUT}:0"], name=""
        )
    return levels, output, tf.compat.v1.Session(graph=graph)


def _resizing(graph_def: tf.compat.v1.GraphDef) -> tuple[tuple[int, int], str]:
    """Size and method of the resizing that the graph does."""
    nodes = {node.name: node for node in graph_def.node}
    resize = nodes[RESIZE]
    size = tf.make_ndarray(nodes[resize.input[1]].attr["value"].tensor)
    options = [f"{name}={resize.attr[name].b}" for name in ("align_corners", "half_pixel_centers")]
    height, width = (int(pixels) for pixels in size)
    return (height, width), f"bilinear in the graph, {', '.join(options)}"
