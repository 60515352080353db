"""Latent-variable models, one latent structure a file."""

from tf_sigma_vae.models._base import LatentVariableModel
from tf_sigma_vae.models._loading import load
from tf_sigma_vae.models._output import Output
from tf_sigma_vae.models._with_likelihood import WithLikelihood
from tf_sigma_vae.models.hierarchical_vae import HierarchicalVae
from tf_sigma_vae.models.vae import Vae

VAE, HierarchicalVAE = Vae, HierarchicalVae

__all__ = ["VAE", "HierarchicalVAE", "LatentVariableModel", "Output", "WithLikelihood", "load"]
