"""What the latent knows of the image: the rate split into information and mismatch, as intervals.

    rate = I(x; z) + KL(m, p),    m(z) = E_x q(z|x),    KL(m, p) = TC(m) + sum_l KL(m_l, p_l)

with the total correlation `TC(m) = KL(m, prod_l m_l)`. None of the parts but the rate has an
unbiased estimator, and the usual one says at most `log S` whatever the truth. So each is given by
bounds, from `S` independent examples and one `z_i ~ q(z|x_i)` for each. In expectation

* `inclusive`, of the mixture of all S posteriors, own one included, is below I(x; z) and never
  above `log S`; the rate less it is above KL(m, p);
* `leave_one_out`, of the mixture of the other posteriors, is above I(x; z), without a limit; the
  rate less it is below KL(m, p);
* `moment`, the divergence from p of the Gaussian with the mean and covariance of m, is below
  KL(m, p) and knows no `log S`. Its bias, `d (d + 3) / (4 S)` at m = p and narrow posteriors, is
  estimated and subtracted; what remains is of the order of `1 / S^2`;
* `rate`: I(x; z) is below the rate, because KL(m, p) is not negative.

The total correlation follows from bounds of both its parts: KL(m, p) less the sum of the
dimensions' KL(m_l, p_l), an upper bound of the one with lower bounds of the others or the reverse.
There `inclusive` and `leave_one_out` name the bound of KL(m, p).

An `Interval` holds the truth with a probability of at least `CONFIDENCE`, as far as the normal
approximation goes (of 60 examples, whose rates are skewed, 94 % were found): each bound is moved
outwards by `NUM_STANDARD_ERRORS` of its own standard errors, and the innermost is taken at each
end. The standard error says how far a bound is from its expectation, and nothing of the distance
from there to the truth: that is the width of the interval, which only more examples (in the order
of exp(I) are needed) make smaller. Standard errors are over examples, by the delete-one jackknife;
for `moment` to first order, 1.4 times too large at m = p.

Source: Hoffman & Johnson 2016 (the split of the rate); Poole et al. 2019, Sec. 2.2 (both mixtures);
Chen et al. 2018 (the total correlation). Compare Rybkin et al. 2021, Sec. 5.2 and Fig. 4.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from tf_sigma_vae.evaluation import activity, estimate
from tf_sigma_vae.evaluation._mixture import (
    MixtureTerms,
    delete_one_means,
    mixture_terms,
    moment_bound,
)
from tf_sigma_vae.evaluation._posteriors import posterior_draws, require_draws
from tf_sigma_vae.models import LatentVariableModel

UNIT = "nats"
SATURATION_SHARE = 0.1
"""Of the own component in the inclusive mixture: its bound lacks about as many nats, or more."""
CONFIDENCE = 0.95
# At most four bounds of a quantity can fail, each at one end.
NUM_STANDARD_ERRORS = float(norm.ppf(1.0 - (1.0 - CONFIDENCE) / 4.0))

CONVENTIONS = {
    "prior": "standard normal",
    "examples": "one z ~ q(z|x) for each; the mixtures are of the posteriors of all examples",
    "bounds": "in expectation: inclusive is below I and above KL, leave_one_out above I and below "
    "KL, moment and rate above I and below KL",
    "interval": "the innermost bounds after each is moved outwards by num_standard_errors; not "
    "below 0",
    "standard_error": "over images, by delete-one jackknife; active_units by bootstrap; "
    "own_share as if the shares of examples were independent",
    "saturated": f"the mean of own_share is above {SATURATION_SHARE}; own_share is "
    "q_i(z_i) / sum_j q_j(z_i), 1 where inclusive says log(num_examples)",
}


TOP_CONVENTIONS = {
    **CONVENTIONS,
    "latent": "z is z_0, the top level of a hierarchy, alone: I(x; z_0), KL(m(z_0), p(z_0)), rate "
    "of the top level; q(z|x) of all levels has no Gaussian of each image",
}
"""Where the latent of a record is the top level."""


class Interval(NamedTuple):
    """What a quantity lies in, and the bounds that say so."""

    lower: float
    """Lower end, standard error included."""
    upper: float
    """Upper end, standard error included."""
    bounds: dict[str, estimate.Estimate]
    """By the names in the module's docstring, without the move by standard errors."""
    unit: str
    """Of all."""


class Information(NamedTuple):
    """What `posterior_information` found, and how. `to_dict` makes it fit for JSON."""

    rate: estimate.Estimate
    """Mean of KL(q(z|x), p(z)), in closed form."""
    rate_by_dimension: tuple[estimate.Estimate, ...]
    """The same of each latent dimension, in their order; they sum to the rate."""
    mutual_information: Interval
    """I(x; z)."""
    marginal_kl: Interval
    """KL(m, p)."""
    total_correlation: Interval
    """KL(m, product of its marginals)."""
    dimension_kl: Interval
    """Sum over dimensions of KL(m_l, p_l)."""
    active_units: estimate.Estimate
    """See `activity`."""
    own_share: estimate.Estimate
    """Mean share of an example's own posterior in the inclusive mixture at its draw."""
    saturated: bool
    """Whether `own_share` is above `SATURATION_SHARE`: more examples would raise `inclusive`."""
    protocol: dict[str, object]
    """`num_examples` S, `log_num_examples` (the ceiling of `inclusive`, nats), `latent` (whether z
    is the whole latent, or the top of a hierarchy), `seed`, ..."""


def posterior_information(
    loc: ArrayLike,
    scale: ArrayLike,
    z: ArrayLike,
    seed: int | None = None,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    latent: str = "whole",
) -> Information:
    """The information in posteriors of which a draw each is given, for a standard normal prior.

    Time grows with `S^2 L`: some 15 s for 10,000 examples of 20 dimensions, on one core.

    Args:
      loc: `[S, L]`, means of q(z|x_i), of independent examples.
      scale: `[S, L]`, standard deviations.
      z: `[S, L]`, `z_i ~ q(z|x_i)`.
      seed: That `z` was drawn by, for the protocol.
      block_size: Examples held against all others at once; rounding and speed alone depend on it.
      progress: Called after each block with the number of examples in it.
      latent: What the posteriors are of, for the protocol: `"whole"`, or the `"top"` of a
        hierarchy.

    Raises:
      ValueError: If the shapes differ, examples are too few, a number is not finite, a scale is not
        positive, or `z` is not drawn from the posteriors.
      FloatingPointError: If a figure is not finite.
    """
    loc, scale, z = require_draws(loc, scale, z)
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    num_examples, latent_size = loc.shape
    rates = 0.5 * (np.square(loc) + np.square(scale) - 1.0) - np.log(scale)
    terms = mixture_terms(loc, scale, z, block_size, progress)
    parts = _parts(delete_one_means(rates.T), terms, moment_bound(loc, scale))
    own_share = estimate.mean("own_share", terms.own_share, "1")
    protocol = {
        "num_examples": num_examples,
        "log_num_examples": float(np.log(num_examples)),
        "latent_size": latent_size,
        "latent": latent,
        "seed": seed,
        "confidence": CONFIDENCE,
        "num_standard_errors": NUM_STANDARD_ERRORS,
        "conventions": TOP_CONVENTIONS if latent == "top" else CONVENTIONS,
    }
    return Information(
        rate=estimate.mean("rate", rates.sum(axis=1), UNIT),
        rate_by_dimension=tuple(estimate.mean("rate", column, UNIT) for column in rates.T),
        **{name: _interval(name, *bounds) for name, bounds in parts.items()},
        active_units=activity.active_units(loc),
        own_share=own_share,
        saturated=own_share.value > SATURATION_SHARE,
        protocol=protocol,
    )


def model_information(
    model: LatentVariableModel,
    images: np.ndarray,
    global_batch_size: int = 128,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
    latent: str = "whole",
) -> Information:
    """The information in the posteriors of a model; see `posterior_information`.

    Args:
      model: A model with a diagonal Gaussian posterior and a standard normal prior.
      images: uint8 `[S, H, W, C]`, independent; those of training tell of the training set alone.
      global_batch_size: Images encoded at once.
      block_size: See `posterior_information`.
      progress: See `posterior_information`.
      latent: `"whole"`, or `"top"` for the top level of a hierarchy, whose other levels have no
        Gaussian of each image.

    Raises:
      NotMeasurableError: On a model that this is not valid for.
      ValueError: On images that it is not valid for.
      FloatingPointError: If a figure is not finite.
    """
    # One level is all there is.
    latent = "whole" if latent == "top" and model.num_levels == 1 else latent
    draws = posterior_draws(model, images, global_batch_size, latent)
    return posterior_information(*draws, model.seed, block_size, progress, latent)


def to_dict(information: Information) -> dict[str, object]:
    """The record as dictionaries, lists and numbers, as `json.dumps` takes them."""

    def plain(value: Any) -> Any:
        if hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, Mapping):
            return {name: plain(item) for name, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return plain(information)


def _parts(
    rates: np.ndarray, terms: MixtureTerms, moment: np.ndarray
) -> dict[str, tuple[dict, dict]]:
    """Lower and upper bounds of each interval, by name, as `[S + 1]` that leave each out.

    Args:
      rates: `[L, S + 1]`, of each dimension.
      terms: `MixtureTerms`.
      moment: `[S + 1]`.
    """
    rate = rates.sum(axis=0)
    inclusive, leave_one_out = terms.inclusive[-1], terms.leave_one_out[-1]
    dimensions_above = np.sum(rates - terms.inclusive[:-1], axis=0)
    dimensions_below = np.sum(rates - terms.leave_one_out[:-1], axis=0)
    kl_below = {"leave_one_out": rate - leave_one_out, "moment": moment}
    kl_above = {"inclusive": rate - inclusive}
    return {
        "mutual_information": (
            {"inclusive": inclusive},
            {"leave_one_out": leave_one_out, "moment": rate - moment, "rate": rate},
        ),
        "marginal_kl": (kl_below, kl_above),
        "total_correlation": (
            {name: bound - dimensions_above for name, bound in kl_below.items()},
            {name: bound - dimensions_below for name, bound in kl_above.items()},
        ),
        "dimension_kl": ({"leave_one_out": dimensions_below}, {"inclusive": dimensions_above}),
    }


def _interval(name: str, below: dict[str, np.ndarray], above: dict[str, np.ndarray]) -> Interval:
    """The interval between bounds from below and above, each `[S + 1]`."""

    def estimates(bounds: dict[str, np.ndarray]) -> dict[str, estimate.Estimate]:
        return {bound: _jackknife(f"{name} ({bound})", v) for bound, v in bounds.items()}

    from_below, from_above = estimates(below), estimates(above)
    lower = max(e.value - NUM_STANDARD_ERRORS * e.standard_error for e in from_below.values())
    upper = min(e.value + NUM_STANDARD_ERRORS * e.standard_error for e in from_above.values())
    # Where both meet, rounding may put them in the wrong order; and so may a bound that fails.
    lower, upper = sorted(max(end, 0.0) for end in (lower, upper))
    return Interval(lower, upper, {**from_below, **from_above}, UNIT)


def _jackknife(name: str, values: np.ndarray) -> estimate.Estimate:
    """A statistic `[S + 1]` of all examples and without each, with its standard error."""
    values = estimate.require_finite(name, values)
    deleted = values[1:]
    variance = (len(deleted) - 1) * np.mean(np.square(deleted - deleted.mean()))
    return estimate.Estimate(float(values[0]), float(np.sqrt(variance)), UNIT)
