"""`encode` and `decode` for devices and runtimes without TensorFlow: TFLite and ONNX.

    FOLDER/tflite/encode.tflite  decode.tflite    for LiteRT: pip install ai-edge-litert
           onnx/encode.onnx      decode.onnx      for ONNX Runtime: pip install onnxruntime

A file holds one signature: the same names of inputs and outputs, float32, a batch of any size from
one. TFLite is written by TensorFlow's own converter, with built-in operations only; ONNX by
tf2onnx. The other signatures stay with TensorFlow: their random bits and image files have no equal
in these formats. Models of videos are not converted: their signatures are loops over the frames.
"""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import PolymorphicFunction as Function

from tf_sigma_vae.export.check import ExportError
from tf_sigma_vae.export.precision import in_float32
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.workdir import atomic_file

FORMATS = ("tflite", "onnx")

SIGNATURES = ("encode", "decode")

TOLERANCE = 1e-4
"""Of a difference, relative to the largest value of an output. These runtimes sum in another order
and have an exponential function of their own: 5e-6 is the most that was seen, of any likelihood."""

_BATCH_SIZES = (5, 1)
_OPSET = 18
_PACKAGES = {"tflite": (), "onnx": ("tf2onnx", "onnxruntime")}


def check_formats(formats: Iterable[str]) -> None:
    """Checks that files of these formats can be written here; to be called before any work.

    Raises:
      ValueError: If there is no such format.
      ImportError: If a package is missing that it takes.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"there is no format {name!r}; known: {', '.join(FORMATS)}")
        missing = [p for p in _PACKAGES[name] if not _is_installed(p)]
        if missing:
            raise ImportError(
                f"the format {name!r} takes packages that are not installed: "
                f"`pip install {' '.join(missing)}`"
            )


def convert(model: LatentVariableModel, folder: str, formats: Iterable[str]) -> dict[str, float]:
    """Writes `encode` and `decode` in each format, and compares the files with the model.

    Args:
      model: A latent-variable model whose likelihood holds its scale.
      folder: Where the folders of the formats are made.
      formats: Of `FORMATS`.

    Returns:
      For each file, as `format/signature.format`, how far its outputs are from the model's:
      relative to the largest value of an output or 1, in batches of one image and of several. A
      model of mixed precision is converted, and compared, in float32, as its weights are: these
      runtimes have no convolution of half precision.

    Raises:
      ValueError: On an unknown format, or a model without these signatures, as one of videos is.
      ImportError: If a package is missing that a format takes.
      ExportError: If a file cannot be written, or answers otherwise than the model.
      NotCalibratedError: If an analytic likelihood holds no scale.
    """
    formats = tuple(formats)
    check_formats(formats)
    functions = in_float32(model).signatures()
    if not set(SIGNATURES) <= set(functions):
        raise ValueError(
            f"only a model with the signatures {' and '.join(SIGNATURES)} is converted as a whole, "
            f"this one has: {', '.join(functions)}; to_tflite and to_onnx take any function"
        )
    found = {}
    for name in formats:
        write, read = _CONVERTERS[name]
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        for signature in SIGNATURES:
            file = os.path.join(name, f"{signature}.{name}")
            path = os.path.join(folder, file)
            try:
                write(functions[signature], path)
                found[file] = _largest_difference(functions[signature], read(path))
            # Each converter and runtime has errors of its own, of modules that are not public.
            except Exception as error:
                said = str(error).partition("\n")[0]
                raise ExportError(f"{signature} cannot be converted to {name}: {said}") from error
            # Not "above": NaN is no agreement either.
            if not found[file] <= TOLERANCE:
                raise ExportError(
                    f"{file} differs from the Python model by {found[file]:.2g} of the size of an "
                    f"output; at most {TOLERANCE:g} is allowed"
                )
    return found


def to_tflite(function: Function, path: str) -> None:
    """Writes a function of named tensors as a TFLite file, at once or not at all.

    Args:
      function: A `tf.function` with an input signature that returns a dictionary of tensors.
      path: Of the file.

    Raises:
      OSError: If the file cannot be written.
      Exception: The converter's, on an operation that TFLite does not have.
    """
    concrete = function.get_concrete_function()
    # The converter makes constants of the variables that its trackable object holds. Keras's models
    # hold them in a wrapper: the file would read variables that nobody has set.
    holder = tf.Module()
    holder.values = list(concrete.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    _write(path, converter.convert())


def to_onnx(function: Function, path: str) -> None:
    """Writes a function of named tensors as an ONNX file, at once or not at all.

    Args:
      function: A `tf.function` with an input signature that returns a dictionary of tensors.
      path: Of the file.

    Raises:
      ImportError: If tf2onnx is not installed.
      OSError: If the file cannot be written.
      Exception: The converter's, on an operation that ONNX does not have.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise ImportError(f"{error}: ONNX files take `pip install tf2onnx`") from error

    proto, _ = tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=_OPSET,
        custom_op_handlers={"BroadcastArgs": (_broadcast_args, [])},
    )
    _write(path, proto.SerializeToString())


def _broadcast_args(graph: Any, node: Any, name: str, args: Any) -> None:
    """The shape that two shapes broadcast to, which tf2onnx has no operation for: by broadcasting.

    TFP asks for it wherever the batch is of unknown size. The arguments are those that tf2onnx
    gives; the node is replaced.
    """
    from onnx import TensorProto

    def cast(value: str, dtype: int, **kwargs: Any) -> str:
        return graph.make_node("Cast", [value], attr={"to": dtype}, **kwargs).output[0]

    first, second = (cast(shape, TensorProto.INT64) for shape in node.input)
    dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
    graph.remove_node(node.name)
    zeros = graph.make_node("ConstantOfShape", [first]).output[0]
    broadcast = graph.make_node("Expand", [zeros, second]).output[0]
    found = graph.make_node("Shape", [broadcast]).output[0]
    cast(found, dtype, name=node.name, outputs=node.output, shapes=[shape], dtypes=[dtype])


def _read_tflite(path: str) -> Callable[..., dict[str, np.ndarray]]:
    """The function that a TFLite file holds."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        # The one that comes with TensorFlow, and says that it will not for ever.
        interpreter = tf.lite.Interpreter
    else:
        interpreter = Interpreter
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        return interpreter(model_path=path).get_signature_runner()


def _read_onnx(path: str) -> Callable[..., dict[str, np.ndarray]]:
    """The function that an ONNX file holds."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs), strict=True))


_CONVERTERS = {"tflite": (to_tflite, _read_tflite), "onnx": (to_onnx, _read_onnx)}


def _largest_difference(
    function: Function, converted: Callable[..., dict[str, np.ndarray]]
) -> float:
    """Over the outputs and batch sizes; NaN where a name or a shape is another."""
    largest = 0.0
    for batch_size in _BATCH_SIZES:
        inputs = {spec.name: _probe(spec, batch_size) for spec in function.input_signature}
        expected = function(*(tf.constant(value) for value in inputs.values()))
        expected = {name: value.numpy() for name, value in expected.items()}
        answered = converted(**inputs)
        if {k: v.shape for k, v in answered.items()} != {k: v.shape for k, v in expected.items()}:
            return float("nan")
        for name, value in expected.items():
            size = max(1.0, float(np.max(np.abs(value))))
            largest = np.maximum(largest, np.max(np.abs(answered[name] - value)) / size)
    return float(largest)


def _probe(spec: tf.TensorSpec, batch_size: int) -> np.ndarray:
    """Grey levels for images, draws from the prior for latents."""
    rng, shape = np.random.default_rng(0), (batch_size, *spec.shape[1:])
    values = rng.normal(size=shape) if spec.name == "z" else rng.integers(0, 256, shape) / 255.0
    return values.astype(spec.dtype.as_numpy_dtype)


def _is_installed(package: str) -> bool:
    # A package that a test or a user has blocked has a module of None.
    with contextlib.suppress(ValueError):
        return importlib.util.find_spec(package) is not None
    return False


def _write(path: str, content: bytes) -> None:
    with atomic_file(path) as file:
        file.write(content)
