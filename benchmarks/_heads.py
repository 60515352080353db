"""One training step of each likelihood, and the peak memory of a process that trains with it.

Run as a module it trains with one likelihood and prints the peak resident memory in bytes.
"""

import argparse
import pathlib
import re
import resource
import sys

import numpy as np

# Steps that trace, allocate and choose kernels. To be taken when all models exist: each one seeds
# TensorFlow, which makes the functions of those before it be prepared anew.
WARMUP_STEPS = 2
STATUS = pathlib.Path("/proc/self/status")


def names() -> list[str]:
    """Names of all likelihoods."""
    from tf_sigma_vae import plugins

    return plugins.names("likelihoods")


def random_images(batch_size: int, image_size: int, channels: int) -> np.ndarray:
    """A batch of the values `k / 255`, float32 `[B, H, W, C]`."""
    shape = (batch_size, image_size, image_size, channels)
    levels = np.random.default_rng(0).integers(0, 256, shape)
    return (levels / 255.0).astype(np.float32)


class HeadTrainer:
    """A model with one of the likelihoods, and a batch in memory."""

    def __init__(self, likelihood: str, images: np.ndarray, precision: str = "float32"):
        import tensorflow as tf

        from tf_sigma_vae import training
        from tf_sigma_vae.config import Config

        config = Config(
            network="conv28", latent_size=20, likelihood=likelihood, precision=precision
        )
        self._model = training.compiled_model(config, images.shape[1:], num_steps=1)
        self._batch = tf.constant(images)

    def run(self, steps: int) -> float:
        """Runs training steps and returns the loss of the last one, in nats an image.

        Raises:
          FloatingPointError: If it is not finite: such a step is not worth timing.
        """
        logs = {"loss": np.nan}
        for _ in range(steps):
            # A number as the result: the step is over when it is there.
            logs = self._model.train_on_batch(self._batch, return_dict=True)
            self._model.reset_metrics()
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(f"{self._model.likelihood.name}: the loss is {loss}")
        return loss


def peak_bytes() -> int:
    """Largest resident memory that this process has had.

    `getrusage` alone would not do on Linux: a process started by a larger one inherits its peak.
    """
    if STATUS.exists():
        kibibytes = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), flags=re.MULTILINE)
        if kibibytes is None:
            raise RuntimeError(f"{STATUS} says nothing of VmHWM")
        return 1024 * int(kibibytes.group(1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is trained."""
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
    parser.add_argument("--precision", default="float32", help="Keras dtype policy")


def main():
    """Trains with the likelihood that the command line names, and prints the peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("likelihood")
    parser.add_argument("--steps", type=int, required=True)
    add_model_flags(parser)
    args = parser.parse_args()
    images = random_images(args.batch_size, args.image_size, args.channels)
    HeadTrainer(args.likelihood, images, args.precision).run(WARMUP_STEPS + args.steps)
    print(peak_bytes())


if __name__ == "__main__":
    main()
