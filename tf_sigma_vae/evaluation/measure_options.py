"""How measures are made."""

from typing import NamedTuple

from tf_sigma_vae.evaluation import rollouts
from tf_sigma_vae.evaluation.evaluate import check_numbers
from tf_sigma_vae.evaluation.runs import check_images_wanted

COUNTS = ("information_examples", "calibration_examples", "distance_samples")


class Options(NamedTuple):
    """How measures are made. Numbers of examples above those of the split mean all of it."""

    split: str = "test"
    """Of the images."""
    num_examples: int = 0
    """Of the evaluation: how many of the first images, 0 for all."""
    num_samples: int | None = None
    """Of the evaluation: K of the importance-weighted bound, 0 for none; as many as
    `evaluate_model` takes of itself if None."""
    information_examples: int = 10_000
    """Examples S whose posteriors are held against one another."""
    calibration_examples: int = 2_000
    """Images that the decoder's distribution is checked on."""
    distance_samples: int = 10_000
    """Samples of the model, and as many of the first images, that distances are between; of videos
    the frames of rollouts, at most, as clips count as a whole."""
    draw: str = "mean"
    """Samples without ("mean") or with ("noisy") the decoder's noise."""
    seed: int = 0
    """Of samples, and of the randomization of the calibration."""
    extrapolate: bool = False
    """Whether to add the Frechet distance extrapolated to infinitely many images."""
    num_rollouts: int = 100
    """Of the rollouts: N of each clip."""
    rollout_clips: int = 256
    """Of the rollouts: the first clips that they go on from, or all."""

    def check(self) -> None:
        """Checks what can be told without data.

        Raises:
          ValueError: If an option makes no sense; the message names it.
        """
        check_images_wanted(self.split, self.num_examples)
        check_numbers(self.num_samples, None)
        rollouts.check_numbers(self.num_rollouts, self.rollout_clips)
        for name in COUNTS:
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        if self.draw not in ("mean", "noisy"):
            raise ValueError(f"draw must be 'mean' or 'noisy', got {self.draw!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def resolved(self, num_examples: int, of_videos: bool = False) -> "Options":
        """The options with the numbers that a split amounts to.

        Args:
          num_examples: Images, or videos, of the split.
          of_videos: Whether these are videos, which are no measure of the numbers of images.

        Raises:
          ValueError: If the evaluation is to be of more examples than there are.
        """
        if self.num_examples > num_examples:
            raise ValueError(
                f"num_examples is {self.num_examples}, but the {self.split} split has "
                f"{num_examples} {'videos' if of_videos else 'images'}"
            )
        if of_videos:
            return self._replace(num_examples=self.num_examples or num_examples)
        cut = {name: min(getattr(self, name), num_examples) for name in COUNTS}
        return self._replace(num_examples=self.num_examples or num_examples, **cut)
