"""Whether the decoder's distribution is as wide as the errors it makes, on held-out images.

  found = calibration.model_calibration(model, images)
  found.metrics["coverage_90"], found.sentence

or of any head, without a model of this library, from its distributions and what was then seen:

  found = calibration.from_predictions([(distribution, x), ...])

A calibrated decoder has a `variance_ratio` of 1 (above: its scale is too small), central intervals
that hold as many elements as they say, and a flat histogram of the PIT. Both are of a density
itself where the head is one; `coverage_8bit_90` is of the grey level, whose end levels own the
tails and hide the scale where an image is black or white (`share_at_ends`). Of two such decoders
the sharper one, or the one with the lower CRPS, says more. None of this sees that the likelihood
takes elements for independent: `dependence` does, and `sentence` says what it costs.

Source: Gneiting, Balabdaoui & Raftery 2007 (calibration and sharpness).
"""

from tf_sigma_vae.evaluation.calibration.predictions import from_predictions, model_calibration
from tf_sigma_vae.evaluation.calibration.record import CONVENTIONS, Calibration, to_dict

__all__ = ["CONVENTIONS", "Calibration", "from_predictions", "model_calibration", "to_dict"]
