"""How well a model of videos predicts, by the steps after the context: SVG's protocol, and more.

  found = rollouts.model_rollouts(model, source, num_rollouts=100, num_clips=256, clip_length=30)
  found["curves"]["psnr"]["best"]["value"]     # by step

N rollouts of each clip, z from the prior and mean frames fed back, are held against what happened:
PSNR and SSIM of the best of them, of their mean, of the rollout along the prior's means, of what
the posterior makes of the true frames, and of the last context frame shown on, without which no
figure of these means much. Beside them the elbo and its terms by step, and whether the decoder's
distribution is as wide as its errors: after the true frames, and in rollouts, where it drifts.

Source: Denton & Fergus 2018, Sec. 5 (best of N by PSNR and SSIM, over steps).
"""

from tf_sigma_vae.evaluation.rollouts.measure import check_numbers, model_rollouts
from tf_sigma_vae.evaluation.rollouts.record import CONVENTIONS, UNITS
from tf_sigma_vae.evaluation.rollouts.table import table

__all__ = ["CONVENTIONS", "UNITS", "check_numbers", "model_rollouts", "table"]
