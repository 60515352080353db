"""What a trained model is worth on a split: figures with their standard errors, and pictures.

Nothing here ever sets the scale of a model: the headline figures use the stored one. Figures whose
scale comes from the evaluated images bear names of their own.
"""

from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation, evaluate_model

__all__ = ["Estimate", "Evaluation", "evaluate_model"]
