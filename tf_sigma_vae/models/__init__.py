"""Latent-variable models, one latent structure a file."""

from tf_sigma_vae.models._latent_variable_model import LatentVariableModel
from tf_sigma_vae.models._loading import load
from tf_sigma_vae.models._output import Output
from tf_sigma_vae.models._with_likelihood import WithLikelihood
from tf_sigma_vae.models.hierarchical_vae import HierarchicalVAE
from tf_sigma_vae.models.sequence_vae import SequenceVAE
from tf_sigma_vae.models.vae import VAE

__all__ = [
    "VAE",
    "HierarchicalVAE",
    "LatentVariableModel",
    "Output",
    "SequenceVAE",
    "WithLikelihood",
    "load",
]
