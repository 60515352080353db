"""Training steps as XLA takes them: the graphs of every decoder, kernels, StableHLO."""

import collections
import contextlib
import ctypes
import functools
import pathlib
import re
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, kernel_def_pb2

from tests._models import set_weights, tiny_vae
from tf_sigma_vae import plugins
from tf_sigma_vae.training import optimizer

IMAGE_SHAPES = {"dense": (4, 6, 2), "conv28": (9, 11, 2), "ladder32": (9, 11, 2)}
BATCH = 3


class Variant(NamedTuple):
    """A decoder with options that change its graph, and the network it is tried with."""

    likelihood: str
    options: tuple = ()
    network: str = "dense"

    @property
    def label(self) -> str:
        values = [str(value) for _, value in self.options]
        return "-".join([self.likelihood, *values, *([self.network] * (self.network != "dense"))])


VARIANTS = [Variant(name) for name in plugins.names("likelihoods")] + [
    Variant("gaussian_optimal", (("bound", "soft_clip"),)),
    Variant("gaussian_inverse_gamma", (("estimation", "trained"),)),
    Variant("gaussian_shared", (("initial_scale", "data"),)),
    Variant("gaussian_optimal", network="conv28"),
    # Beside the usual ones that whose gradient is the smallest. Each is compiled for half a minute.
    Variant("gaussian_optimal", network="ladder32"),
    Variant("logistic_mixture", network="ladder32"),
    Variant("mse", network="ladder32"),
]


def compiled_vae(variant: Variant, jit_compile: bool, steepest: bool = False, **kwargs):
    """A small model of a variant, ready for `fit`.

    Args:
      variant: The decoder and the network.
      jit_compile: As for `compile`.
      steepest: Whether to train by steepest descent with momentum, whose step is no larger a
        function of the rounding of a gradient than the gradient itself, and which compiles faster
        than the default: Adam with weight decay, clipping and a moving average of the weights.
      **kwargs: Of the model.
    """
    likelihood = plugins.find("likelihoods", variant.likelihood)(**dict(variant.options))
    shape = IMAGE_SHAPES[variant.network]
    model = set_weights(tiny_vae(likelihood, shape, variant.network, **kwargs))
    if steepest:
        chosen = optimizer.Sgd(0.1, momentum=0.5, clip_norm=1.0)
    else:
        chosen = optimizer.Adamw(1e-3, weight_decay=1e-4, clip_norm=1.0, use_ema=True)
    model.compile(chosen, jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    return model


class Step:
    """The training step of a model on batches of a static shape, compiled by XLA.

    Examples are images of the model, or of the shape that is given.
    """

    def __init__(self, model, batch_size: int = BATCH, example_shape=None):
        self.model = model
        self._images = tf.TensorSpec([batch_size, *(example_shape or model.image_shape)])
        self._function = tf.function(model.train_step, jit_compile=True)
        self._graph = self._function.get_concrete_function(self._images).graph

    def __call__(self, x) -> dict:
        """Takes a step; returns the metrics."""
        return self._function(tf.constant(x))

    @functools.cached_property
    def nodes(self) -> list:
        """The nodes of the graph and of all functions in it, with the shapes of their outputs."""
        return nodes(self._graph)

    @functools.cached_property
    def stablehlo(self) -> str:
        """The portable program that a TPU's compiler takes, as text."""
        return self._function.experimental_get_compiler_ir(self._images)(stage="stablehlo")


def nodes(graph) -> list:
    """The nodes of a graph and of all functions in it, with the shapes of their outputs."""
    definition = graph.as_graph_def(add_shapes=True)
    return [*definition.node, *(n for f in definition.library.function for n in f.node_def)]


def of_unknown_shape(nodes) -> set[str]:
    """The types of the nodes an output of which has a shape that TensorFlow does not know."""
    return {
        node.op
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if not tf.TensorShape(shape).is_fully_defined()
    }


def stablehlo_operations(program: str) -> collections.Counter:
    """How often each operation occurs in a program."""
    found = re.findall(r"(?<![\w.#@])((?:stablehlo|chlo|mhlo)\.\w+)(?= |\(|\")(?! = )", program)
    return collections.Counter(found)


def stablehlo_types(program: str) -> set[str]:
    """The element types of all tensors of a program, `f32` ..."""
    # A layout that is noted at a transpose is no tensor of the program.
    program = re.sub(r"result_layout = dense<[^>]*> : tensor<\d+xindex>", "", program)
    return set(re.findall(r"tensor<(?:[\d?]+x)*(\w+)", program))


def is_static(program: str) -> bool:
    """Whether no dimension of a tensor is unknown or only bounded."""
    return not re.search(r"tensor<[^>]*\?|bounds<|is_dynamic = true", program)


# -- the kernels


class _Buffer(ctypes.Structure):
    """`TF_Buffer` of TensorFlow's C interface."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


@functools.cache
def kernels() -> tuple[str, dict]:
    """The registered XLA kernels, from the C interface that TensorFlow publishes.

    Returns:
      The device, `"XLA_TPU_JIT"` where TensorFlow was built for TPUs (package tensorflow-tpu), and
      otherwise `"XLA_CPU_JIT"`; and the kernels of each operation.
    """
    # They are registered when one is first asked for; the package has those of TPUs, or has not.
    with contextlib.suppress(ValueError):
        program = tf.function(tf.abs, jit_compile=True).experimental_get_compiler_ir(0.0, "")
        program(stage="hlo", platform_name="TPU")
    (path,) = pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.so.*")
    library = ctypes.CDLL(str(path))
    library.TF_NewStatus.restype = ctypes.c_void_p
    library.TF_GetAllRegisteredKernels.restype = ctypes.POINTER(_Buffer)
    library.TF_GetAllRegisteredKernels.argtypes = [ctypes.c_void_p]
    buffer = library.TF_GetAllRegisteredKernels(library.TF_NewStatus()).contents
    listed = kernel_def_pb2.KernelList.FromString(ctypes.string_at(buffer.data, buffer.length))
    by_device = collections.defaultdict(lambda: collections.defaultdict(list))
    for kernel in listed.kernel:
        by_device[kernel.device_type][kernel.op].append(kernel)
    device = "XLA_TPU_JIT" if "XLA_TPU_JIT" in by_device else "XLA_CPU_JIT"
    return device, by_device[device]


# What XLA's compiler takes apart itself: arguments and calls of functions.
_STRUCTURE = {"Placeholder", "PartitionedCall", "StatefulPartitionedCall"}


def without_kernel(nodes) -> set[str]:
    """Types, with their attributes, of the nodes that no registered XLA kernel takes."""
    _, by_op = kernels()
    return {
        f"{node.op} {_types(node)}"
        for node in nodes
        if node.op not in _STRUCTURE and not any(_takes(kernel, node) for kernel in by_op[node.op])
    }


def _takes(kernel, node) -> bool:
    return all(
        set(_listed(node.attr[limit.name])) <= set(limit.allowed_values.list.type)
        for limit in kernel.constraint
    )


def _listed(value: attr_value_pb2.AttrValue) -> list[int]:
    return list(value.list.type) if value.HasField("list") else [value.type]


def _types(node) -> str:
    given = [(k, v) for k, v in sorted(node.attr.items()) if v.type or v.list.type]
    return ", ".join(f"{k}={[tf.as_dtype(t).name for t in _listed(v)]}" for k, v in given)
