"""Studies of the paper: many runs of one configuration, trained, evaluated and compared."""

from tf_sigma_vae.sweep.runner import Sweep
from tf_sigma_vae.sweep.runs import Protocol
from tf_sigma_vae.sweep.studies import PAPER_BETAS, STUDIES

__all__ = ["PAPER_BETAS", "STUDIES", "Protocol", "Sweep"]
