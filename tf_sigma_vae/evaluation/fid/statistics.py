"""Mean and covariance of features, gathered batch by batch in float64."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Statistics(NamedTuple):
    """What a Gaussian fitted to features needs; two of them merge without the features."""

    num_examples: int
    """N."""
    mean: np.ndarray
    """float64 `[D]`."""
    scatter: np.ndarray
    """float64 `[D, D]`, the sum of `(x - mean) (x - mean)^T`."""

    @classmethod
    def from_features(cls, features: ArrayLike) -> "Statistics":
        """The statistics of features `[N, D]`, N at least 1.

        Raises:
          ValueError: If the features are not a matrix of at least one row.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or not len(features):
            raise ValueError(f"features must be [N, D] with N at least 1, got {features.shape}")
        mean = features.mean(axis=0)
        centered = features - mean
        return cls(len(features), mean, centered.T @ centered)

    def merged(self, other: "Statistics") -> "Statistics":
        """The statistics of both sets of features together.

        Raises:
          ValueError: If the features are of different sizes.

        Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm".
        """
        require_same_size(self, other)
        count = self.num_examples + other.num_examples
        shift = other.mean - self.mean
        weight = self.num_examples * other.num_examples / count
        scatter = self.scatter + other.scatter + weight * np.outer(shift, shift)
        return Statistics(count, self.mean + shift * (other.num_examples / count), scatter)

    def without(self, part: "Statistics") -> "Statistics":
        """The statistics of what is left when some of the features are taken away.

        Args:
          part: Statistics of a true subset of the features.

        Raises:
          ValueError: If nothing would be left, or the features are of different sizes.
        """
        require_same_size(self, part)
        count = self.num_examples - part.num_examples
        if count < 1:
            raise ValueError(
                f"taking {part.num_examples} of {self.num_examples} features leaves none"
            )
        mean = (self.num_examples * self.mean - part.num_examples * part.mean) / count
        shift = part.mean - mean
        weight = count * part.num_examples / self.num_examples
        return Statistics(
            count, mean, self.scatter - part.scatter - weight * np.outer(shift, shift)
        )

    @property
    def covariance(self) -> np.ndarray:
        """float64 `[D, D]`, divided by N - 1 as the reference implementation of FID does.

        Raises:
          ValueError: If N is 1.
        """
        if self.num_examples < 2:
            raise ValueError(f"a covariance needs at least 2 features, got {self.num_examples}")
        return self.scatter / (self.num_examples - 1)


def require_same_size(first: Statistics, second: Statistics) -> None:
    """Checks that the features of two statistics have the same dimension.

    Raises:
      ValueError: If not.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"features of {first.mean.size} and of {second.mean.size} numbers have no distance: "
            "they are of different extractors"
        )
