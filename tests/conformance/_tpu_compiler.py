"""Compiles the training step of every decoder with the compiler of the TPUs; needs no TPU.

    python -m tests.conformance._tpu_compiler [topology]

Needs the packages jax and libtpu beside this project's (tried with 0.10.2 and 0.0.52), which are
not among its requirements. Prints a line for each step: its compile time and the memory it takes
beside its arguments. A step that the compiler refuses ends the command with its message.
"""

import os
import re
import sys
import time

import numpy as np

# Asked on a machine of Google's otherwise, which this need not be.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jax.experimental import topologies
from jax.interpreters import mlir
from jaxlib import xla_client
from jaxlib.mlir import ir

from tests.conformance._xla_steps import VARIANTS, Step, compiled_vae

TOPOLOGY = "v5e:2x2"


def tpu_compiler(topology: str):
    """A function that compiles the text of a StableHLO program for one core of a TPU."""
    device = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
    options = xla_client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.array([[0]]))

    def compile_program(program: str):
        # TensorFlow notes an identity beside returned variables in a dialect of its own.
        portable = re.sub(r"mhlo\.copy (%\S+)", r"stablehlo.optimization_barrier \1", program)
        with mlir.make_ir_context():
            module = ir.Module.parse(portable)
            return device.client.compile(module, xla_client.DeviceList((device,)), options)

    return compile_program


def programs():
    """Names and StableHLO programs, with the checks of values in them, as `TPUStrategy` has them.

    XLA drops the checks.
    """
    for dtype in ("float32", "mixed_bfloat16"):
        for variant in VARIANTS:
            model = compiled_vae(variant, jit_compile=False, dtype=dtype)
            yield f"{variant.label}, {dtype}", Step(model).stablehlo


def main(topology: str = TOPOLOGY) -> None:
    """Compiles all of them, and prints a line for each."""
    compile_program = tpu_compiler(topology)
    for name, program in programs():
        start = time.perf_counter()
        compiled = compile_program(program)
        seconds = time.perf_counter() - start
        memory = compiled.get_compiled_memory_stats().temp_size_in_bytes / 2**20
        print(f"{topology} {name}: compiled in {seconds:.1f} s, {memory:.1f} MiB", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
