"""Distributions that TensorFlow Probability lacks, and the mass of 8-bit values under a density."""

from tf_sigma_vae.distributions.bin_mass import bin_log_mass
from tf_sigma_vae.distributions.marginal_gaussian import MarginalGaussian

__all__ = ["MarginalGaussian", "bin_log_mass"]
