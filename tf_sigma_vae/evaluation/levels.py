"""The rate of each level of a hierarchy: how much of an image each holds, given those above it.

Level 0 is the top. The rates of all levels sum to the rate. They are those of `Output.rate_groups`,
which can be negative where a network draws parts of a latent on the way up.
"""

from collections.abc import Iterable, Sequence

PREFIX = "rate_level_"
"""Of the names that `HierarchicalVAE.group_metrics` gives them, here and in metrics.jsonl."""

UNIT = "nats"

CONVENTIONS = {
    f"{PREFIX}<i>": "of level i, 0 at the top, given the draws of the levels above; of the shape "
    "level_shapes[i]; all sum to rate",
    "active_units": "none for a hierarchy: below the top the mean of q depends on what was drawn "
    "above, and no threshold is right for levels whose prior has no unit scale",
}
"""What an evaluation says of a hierarchy beside, or instead of, its other conventions."""


def names_among(names: Iterable[str]) -> list[str]:
    """Those of the names that are rates of levels, top first."""
    numbers = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    return [f"{PREFIX}{number}" for number in sorted(map(int, numbers))]


def shape_text(shape: Sequence[int]) -> str:
    """`"16x16x8"`: height, width and channels of a level."""
    return "x".join(map(str, shape))
