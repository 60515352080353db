"""Training: optimizers, strategies, checkpoints, callbacks, and the loop around Keras `fit`."""

from tf_sigma_vae.training.checkpoints import CheckpointError, NonFiniteError
from tf_sigma_vae.training.loop import compiled_model, train
from tf_sigma_vae.training.preemption import EXIT_CODE, Preempted
from tf_sigma_vae.training.rendezvous import ClusterError

__all__ = [
    "EXIT_CODE",
    "CheckpointError",
    "ClusterError",
    "NonFiniteError",
    "Preempted",
    "compiled_model",
    "train",
]
