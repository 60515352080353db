"""Distributions that TensorFlow Probability lacks, and the mass of 8-bit values under a density."""

from tf_sigma_vae.distributions.bin_mass import bin_log_mass
from tf_sigma_vae.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tf_sigma_vae.distributions.grey_level_bits import GreyLevelBits
from tf_sigma_vae.distributions.grey_level_categorical import GreyLevelCategorical
from tf_sigma_vae.distributions.grey_level_cdf import grey_level_cdf
from tf_sigma_vae.distributions.independent_frames import IndependentFrames
from tf_sigma_vae.distributions.marginal_gaussian import MarginalGaussian
from tf_sigma_vae.distributions.named_parameters import from_parameters, to_parameters
from tf_sigma_vae.distributions.student_t import StudentT

__all__ = [
    "DiscretizedLogisticMixture",
    "GreyLevelBits",
    "GreyLevelCategorical",
    "IndependentFrames",
    "MarginalGaussian",
    "StudentT",
    "bin_log_mass",
    "from_parameters",
    "grey_level_cdf",
    "to_parameters",
]
