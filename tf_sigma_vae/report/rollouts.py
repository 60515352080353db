"""What models of videos predict: a film, strips of frames, and curves over the future step."""

from collections.abc import Sequence

import numpy as np

from tf_sigma_vae import animation, data
from tf_sigma_vae.evaluation import video_samples
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.report import elements, figures, rollout_charts
from tf_sigma_vae.report.content import Content, Run

CLIPS, SAMPLES = 3, 3
"""Rows of the film and its sampled rollouts; of the first clip there are strips."""
MOST_BYTES, MOST_PAGE_BYTES = 4 << 20, 16 << 20
"""Of the film of a run, and of those of a page: a larger one shows fewer clips, or is left out."""
TABLE_STEPS = (1, 2, 5, 10, 20, 30)
"""Future steps of the table, where there are so many; the last one is added."""
HEADLINE = tuple(
    f"{quantity}_{kind}"
    for quantity in ("psnr", "ssim")
    for kind in ("best", "mean_rollout", "copy")
)
"""Metrics of the first table."""
TABLE_CURVES = tuple(
    (quantity, kind)
    for quantity in ("psnr", "ssim")
    for kind in ("best", "mean", "mean_rollout", "posterior", "copy")
)

HOW_TO_READ = (
    "Predictions of {horizon} frames from {given} given ones, the model's own frames fed back. "
    "Best of N: of N sampled rollouts of a clip the one nearest to the truth, which tells whether "
    "the truth is among what the model thinks possible; the mean of N, how far a single one is. "
    "Mean rollout: the means of the prior. Posterior: z ~ q(z|x), which has seen the frame itself, "
    "after the true frames: a reconstruction, and no prediction. Copy: the "
    "last given frame, repeated, which no model should be worse than. PSNR and SSIM are of mean "
    "frames."
)
HOW_TO_READ_FILM = (
    "Borders: blue around given frames, orange around the model's and the truth that it does not "
    "see. Approx. posterior: z ~ q(z|x), but the model's own frames fed back. Mean rollout: the "
    "means of the prior. All frames are means of p(x|z)."
)
CAPTIONS = {
    "strips": "Frames of the first clip of the film, and of {best} samples the best one.",
    "one_step": (
        "One-step reconstructions: each frame from z ~ q(z|x) and the true frames before it; the "
        "last row is a draw from p(x|z), with the decoder's noise."
    ),
}
REDUCED_MOTION = (
    "The film of {name} is left out, as your system asks for reduced motion; its frames are below."
)
NO_FILM = "The film of {name} is left out: it would have more than {limit:.0f} MB."


def draw(
    model: LatentVariableModel,
    source: data.VideoSource,
    num_frames: int,
    seed: int,
    most_bytes: int = MOST_BYTES,
) -> tuple[dict[str, np.ndarray], bytes | None]:
    """The pictures of a model of videos.

    Args:
      model: A model of videos.
      source: A `data.VideoSource`, of which up to 3 videos are chosen by seed.
      num_frames: Frames of a clip with its context.
      seed: Of the choice and of all draws.
      most_bytes: Of the film.

    Returns:
      uint8 `[H', W', 3]` by the names of `CAPTIONS`, and the GIF file of the film with as many of
      the clips as fit; None if not one does.

    Raises:
      FloatingPointError: If a value of a frame is not a number.
    """
    rollouts = video_samples.draw(model, source, num_frames, CLIPS, SAMPLES, seed)
    first = rollouts.first(1)
    pictures = {
        "strips": np.asarray(video_samples.strips(first)),
        "one_step": np.asarray(video_samples.posterior(model, first, seed)),
    }
    for num_clips in range(len(rollouts.truth), 0, -1):
        film = animation.gif(video_samples.film(rollouts.first(num_clips)))
        if len(film) <= most_bytes:
            return pictures, film
    return pictures, None


def section(content: Content) -> elements.Html | None:
    """Films, strips, charts and tables of all runs; None for runs of images."""
    if not content.of_videos:
        return None
    shown = [(i, run) for i, run in enumerate(content.runs) if "rollouts" in run.measures]
    runs = [run for _, run in shown]
    drawn = [part for run in content.runs for part in _pictures(run)]
    if not runs and not drawn:
        return None
    lead = HOW_TO_READ_FILM
    if runs:
        protocol = runs[0].measures["rollouts"]["protocol"]
        horizon = len(runs[0].measures["rollouts"]["steps"])
        lead = HOW_TO_READ.format(horizon=horizon, given=protocol["context_frames"])
    return elements.section(
        "rollouts",
        "Rollouts",
        lead,
        elements.charts(rollout_charts.all_charts(shown)) if runs else None,
        *_tables(runs),
        *map(elements.note, notes(runs)),
        elements.element("p", HOW_TO_READ_FILM, class_="lead") if runs and drawn else None,
        *drawn,
    )


def headline_rows(runs: Sequence[Run]) -> list[list]:
    """The rows of the first table."""
    return figures.metric_rows(runs, "rollouts", HEADLINE)


def notes(runs: Sequence[Run]) -> list[str]:
    """What the figures were measured on, one line where all runs agree, and what is left out."""
    lines: dict[str, list[str]] = {}
    for run in runs:
        record = run.measures["rollouts"]
        protocol = record["protocol"]
        line = (
            f"Rollouts: N = {protocol['num_rollouts']} for each of {protocol['num_clips']} "
            f"{protocol['split']} clips of {protocol['clip_length']} frames, seed "
            f"{protocol['seed']}. Bands: 95 % intervals over videos."
        )
        absent = [f"no {name}: {reason}" for name, reason in record.get("absent", {}).items()]
        lines.setdefault(" ".join([line, *absent]), []).append(run.name)
    if len(lines) < 2:
        return list(lines)
    return [f"{figures.listed(names)}: {line}" for line, names in lines.items()]


def _tables(runs: Sequence[Run]) -> list[elements.Html]:
    """Averages over the steps, and figures at some of the steps."""
    if not runs:
        return []
    names = list(dict.fromkeys(n for r in runs for n in r.measures["rollouts"]["metrics"]))
    heading = ["metric", *(run.name for run in runs)]
    found = []
    rows = figures.metric_rows(runs, "rollouts", names)
    if rows:
        found.append(elements.table("Rollouts: averages over the steps", heading, rows))
    rows = []
    for quantity, kind in TABLE_CURVES:
        of_steps = _step_rows(runs, quantity, kind)
        if of_steps:
            title = f"{rollout_charts.QUANTITIES[quantity][0]}, {rollout_charts.KINDS[kind]}"
            rows += [[title], *of_steps]
    if rows:
        whole = elements.table("Rollouts: figures at single steps", ["step", *heading[1:]], rows)
        found.append(elements.details("Figures at single steps", whole))
    return found


def _step_rows(runs: Sequence[Run], quantity: str, kind: str) -> list[list]:
    """A row for each of `TABLE_STEPS`, and a cell for each run."""
    last = max(max(run.measures["rollouts"]["steps"]) for run in runs)
    steps = sorted({*(step for step in TABLE_STEPS if step < last), last})
    rows = []
    for step in steps:
        cells = [figures.cell(_at(run, quantity, kind, step)) for run in runs]
        if any(cell != figures.ABSENT for cell in cells):
            rows.append([f"step {step}", *cells])
    return rows


def _at(run: Run, quantity: str, kind: str, step: int) -> dict | None:
    """A figure of one step; None where it is not there."""
    curve, steps = rollout_charts.curve(run, quantity, kind), run.measures["rollouts"]["steps"]
    if curve is None or step not in steps or curve["value"][steps.index(step)] is None:
        return None
    place = steps.index(step)
    errors = curve.get("standard_error")
    return {"value": curve["value"][place], "standard_error": errors[place] if errors else 0.0}


def _pictures(run: Run) -> list[elements.Html]:
    """The film of a run and its strips below."""
    if not run.pictures:
        return []
    parts = [elements.element("h3", run.name)]
    if run.film is not None:
        caption = "From the left: truth, posterior, mean rollout, samples; the same clips for all."
        alt = f"Film of rollouts of {run.name}. {caption}"
        parts.append(elements.film(run.film, alt, caption, REDUCED_MOTION.format(name=run.name)))
    else:
        parts.append(elements.note(NO_FILM.format(name=run.name, limit=MOST_BYTES / 1e6)))
    for name, caption in CAPTIONS.items():
        if name in run.pictures:
            caption = caption.format(best=video_samples.BEST_OF)
            parts.append(elements.drawn(run.pictures[name], f"{name} of {run.name}", caption))
    return parts
