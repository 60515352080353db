"""A small frozen graph with the tensor names, and the old operations, of the FID network."""

import numpy as np
import tensorflow as tf

RESIZED = (5, 7)
NUM_FEATURES = 4
EPSILON = 0.001
_PRODUCER = 8
"""Version of the graph: batch normalization as one operation was removed from version 9."""


def weights(seed=0):
    """The 1 x 1 convolution and the normalization of the graph."""
    rng = np.random.default_rng(seed)
    arrays = {
        "kernel": rng.normal(size=(1, 1, 3, NUM_FEATURES)),
        "mean": rng.normal(size=NUM_FEATURES),
        "variance": rng.uniform(0.5, 2.0, size=NUM_FEATURES),
        "offset": rng.normal(size=NUM_FEATURES),
        "scale": np.ones(NUM_FEATURES),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def graph_def(seed=0):
    """A graph from the bytes of one JPEG image to `pool_3:0` and on to `softmax:0`."""
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = _PRODUCER
    _constant(graph, "DecodeJpeg/contents", b"")
    _add(graph, "DecodeJpeg", ["DecodeJpeg/contents"], channels=3)
    _add(graph, "Cast", ["DecodeJpeg"], SrcT=tf.uint8, DstT=tf.float32)
    _constant(graph, "ExpandDims/dim", np.int32(0))
    _add(graph, "ExpandDims", ["Cast", "ExpandDims/dim"], T=tf.float32, Tdim=tf.int32)
    _constant(graph, "ResizeBilinear/size", np.int32(RESIZED))
    _add(graph, "ResizeBilinear", ["ExpandDims", "ResizeBilinear/size"], T=tf.float32)
    _constant(graph, "Sub/y", np.float32(128.0))
    _add(graph, "Sub", ["ResizeBilinear", "Sub/y"], T=tf.float32)
    _constant(graph, "Mul/y", np.float32(1.0 / 128.0))
    _add(graph, "Mul", ["Sub", "Mul/y"], T=tf.float32)
    names = [f"conv/{name}" for name in ("kernel", "mean", "variance", "offset", "scale")]
    for name, array in zip(names, weights(seed).values(), strict=True):
        _constant(graph, name, array)
    ones = [1, 1, 1, 1]
    conv = {"T": tf.float32, "strides": ones, "padding": "SAME"}
    _add(graph, "conv/Conv2D", ["Mul", names[0]], op="Conv2D", **conv)
    norm = {"T": tf.float32, "variance_epsilon": EPSILON, "scale_after_normalization": False}
    inputs = ["conv/Conv2D", *names[1:]]
    _add(graph, "conv/norm", inputs, op="BatchNormWithGlobalNormalization", **norm)
    _add(graph, "conv/check", ["conv/norm"], op="CheckNumerics", T=tf.float32, message="conv")
    _add(graph, "conv/checked", ["conv/norm", "^conv/check"], op="Identity", T=tf.float32)
    conv = _add(graph, "conv", ["conv/checked"], op="Relu", T=tf.float32)
    # As noted when the graph was made for one image: whoever believes it, here in a reshape to the
    # shape that there is, fails on a batch.
    shape = conv.attr["_output_shapes"].list.shape.add()
    for size in (1, *RESIZED, NUM_FEATURES):
        shape.dim.add().size = size
    _add(graph, "conv/shape", ["conv"], op="Shape", T=tf.float32, out_type=tf.int32)
    inputs = ["conv", "conv/shape"]
    _add(graph, "conv/same", inputs, op="Reshape", T=tf.float32, Tshape=tf.int32)
    pool = {"T": tf.float32, "ksize": [1, *RESIZED, 1], "strides": ones, "padding": "VALID"}
    _add(graph, "pool_3", ["conv/same"], op="AvgPool", **pool)
    _constant(graph, "pool_3/_reshape/shape", np.int32([1, NUM_FEATURES]))
    inputs = ["pool_3", "pool_3/_reshape/shape"]
    _add(graph, "pool_3/_reshape", inputs, op="Reshape", T=tf.float32, Tshape=tf.int32)
    _add(graph, "softmax", ["pool_3/_reshape"], op="Softmax", T=tf.float32)
    return graph


def expected_features(levels, seed=0):
    """What the graph is to make of levels `[B, H, W, 3]`, in NumPy and float64."""
    w = weights(seed)
    scaled = (_resized(np.asarray(levels, np.float64)) - 128.0) / 128.0
    pixels = scaled @ w["kernel"][0, 0]
    normal = (pixels - w["mean"]) / np.sqrt(w["variance"] + EPSILON) + w["offset"]
    return np.maximum(normal, 0.0).mean(axis=(1, 2))


def _resized(images):
    """Bilinear, pixel k of the result at k * (old size / new size): corners, not centers."""
    for axis, size in zip((1, 2), RESIZED, strict=True):
        old = images.shape[axis]
        place = np.arange(size) * (old / size)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, old - 1)
        weight = (place - low).reshape([-1 if k == axis else 1 for k in range(4)])
        images = (1 - weight) * images.take(low, axis) + weight * images.take(high, axis)
    return images


def _constant(graph, name, value):
    value = np.asarray(value)
    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _add(graph, name, inputs, op=None, **attributes):
    node = graph.node.add(name=name, op=op or name, input=inputs)
    for key, value in attributes.items():
        field = node.attr[key]
        if isinstance(value, tf.DType):
            field.type = value.as_datatype_enum
        elif isinstance(value, bool):
            field.b = value
        elif isinstance(value, int):
            field.i = value
        elif isinstance(value, float):
            field.f = value
        elif isinstance(value, str):
            field.s = value.encode()
        else:
            field.list.i.extend(value)
    return node
