"""The first table: every figure of every run, a column each, and what may be compared with what."""

from collections.abc import Sequence

from tf_sigma_vae.evaluation.evaluate import ordered
from tf_sigma_vae.evaluation.levels import names_among
from tf_sigma_vae.evaluation.table import (
    DATA_SCALE,
    DATA_SCALE_NOTE,
    DISCRETE_NOTE,
    LEVELS_NOTE,
    UNNORMALISED_NOTE,
)
from tf_sigma_vae.report import (
    calibration,
    charts,
    distances,
    elements,
    figures,
    information,
    levels,
    rollouts,
)
from tf_sigma_vae.report.content import Content, Run

HOW_TO_READ = (
    "A column for each run; mean ± standard error over the {examples}. Two figures differ beyond "
    "chance where they are more than about three standard errors apart; another training seed "
    "may move them further. Larger is better for elbo, iwae and psnr, smaller for distortion, "
    "bits/dim, mse and distances."
)
HOW_TO_READ_VIDEOS = (
    " Nats are of a clip, of all its predicted frames; those that are given are not counted. "
    "*_per_frame is that over the number of frames, bits/dim over that of their values."
)
ONLY_OF_IMAGES = (
    "The information in the latent and the calibration of each pixel are measured of images alone; "
    "the calibration of predicted frames is among the rollouts."
)
NO_DISTANCES = (
    "There are no distances of samples: give --extractor=inception_2015 (the network of FID), "
    "--extractor=inception_v3_keras, or the path of a Keras file or SavedModel."
)


def section(content: Content) -> elements.Html:
    """The table with its notes."""
    runs = content.runs
    metrics = ordered(_metric_names(runs))
    groups = [
        ("Likelihood and reconstruction", figures.metric_rows(runs, "evaluation", metrics)),
        ("Information in the latent", information.headline_rows(runs)),
        ("Calibration of the decoder", calibration.headline_rows(runs)),
        ("Rollouts, averages over the steps", rollouts.headline_rows(runs)),
        ("Distances of samples", distances.headline_rows(runs)),
    ]
    rows = []
    for title, found in groups:
        if found:
            rows += [[title], *found]
    heading = ["metric", *(run.name for run in runs)]
    notes = [elements.note(line) for line in [*_protocol_lines(runs), *_notes(runs)]]
    how_to_read = HOW_TO_READ.format(examples="videos" if content.of_videos else "images")
    if content.of_videos:
        how_to_read += HOW_TO_READ_VIDEOS
        notes.append(elements.note(ONLY_OF_IMAGES))
    return elements.section(
        "figures",
        "Figures",
        how_to_read,
        elements.table("Figures of all runs", heading, rows) if rows else None,
        *notes,
        *_absent(runs),
    )


def key(runs: Sequence[Run]) -> elements.Html:
    """Which run is which line, and what it was."""
    items = []
    for index, run in enumerate(runs):
        config = run.config
        options = ", ".join(
            f"{name}={_plain(value)}" for name, value in config["likelihood_options"].items()
        )
        described = (
            f"{config['likelihood']}{f' ({options})' if options else ''}, beta "
            f"{config['beta']:g}, seed {config['seed']}; {config['model']} with network "
            f"{config['network']}, {levels.described(run)}; {_trained(run)}"
        )
        name = element_of_name(run.name)
        items.append(elements.element("li", _swatch(index), name, ": ", described))
    return elements.element("ul", *items, class_="key", aria_label="The runs")


def element_of_name(name: str) -> elements.Html:
    """A run's name as it stands in running text."""
    return elements.element("b", name)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _trained(run: Run) -> str:
    """How far it was trained."""
    step = run.measure_named("evaluation").get("protocol", {}).get("step")
    if step is None and run.history:
        step = max(line["step"] for line in run.history)
    return f"{step:,} steps" if step is not None else "trained"


def _swatch(index: int) -> elements.Html:
    """The line of a run, as the charts draw it."""
    look = charts.style(index)
    dashes = (
        "" if isinstance(look.line, str) else " ".join(f"{2 * length:g}" for length in look.line[1])
    )
    line = elements.element(
        "line", x1=0, y1=6, x2=30, y2=6, stroke=look.color, stroke_dasharray=dashes or None
    )
    return elements.element("svg", line, width=30, height=12, aria_hidden="true")


def _protocol_lines(runs: Sequence[Run]) -> list[str]:
    """What the likelihoods were measured on; one line where all runs agree."""
    lines: dict[str, list[str]] = {}
    for run in runs:
        protocol = run.measure_named("evaluation").get("protocol")
        if protocol is None:
            continue
        samples = protocol["num_samples"]
        bound = f"iwae of {samples} samples" if samples else "no iwae"
        examples = f"{protocol['num_examples']:,} {protocol['split']} images"
        if "clip_length" in protocol:
            examples = (
                f"{protocol['num_clips']:,} {protocol['split']} clips of "
                f"{protocol['clip_length']} frames ({protocol['context_frames']} given, "
                f"{protocol['horizon']} predicted)"
            )
        line = (
            f"Likelihoods: {examples} of {protocol['dataset']}, {bound}, the scale stored with "
            "the model."
        )
        lines.setdefault(line, []).append(run.name)
    if len(lines) < 2:
        return list(lines)
    return [f"{figures.listed(names)}: {line}" for line, names in lines.items()]


def _notes(runs: Sequence[Run]) -> list[str]:
    """Which figures are no likelihoods, and which cannot be compared."""
    metrics, notes = _metric_names(runs), []
    if names_among(metrics):
        notes.append(LEVELS_NOTE)
    if any(name.endswith(DATA_SCALE) for name in metrics):
        notes.append(DATA_SCALE_NOTE)
    unnormalized = [run.name for run in runs if run.measure is None]
    if unnormalized:
        notes.append(UNNORMALISED_NOTE.format(", ".join(unnormalized)))
    if {"mass", "density"} <= {run.measure for run in runs}:
        notes.append(DISCRETE_NOTE)
    notes += information.notes(runs)
    if not any("distances" in {**run.measures, **run.absent} for run in runs):
        notes.append(NO_DISTANCES)
    elif len(distances.groups(runs)) > 1:
        notes.append("The distances were measured by different protocols: see below.")
    # The notes are broken for the screen.
    return [" ".join(note.split()) for note in notes]


def _metric_names(runs: Sequence[Run]) -> set[str]:
    """Names of the metrics of the evaluations."""
    return {n for run in runs for n in run.measure_named("evaluation").get("metrics", {})}


def _absent(runs: Sequence[Run]) -> list[elements.Html]:
    """Measures that runs do not have, with the reasons; one notice where the reason is the same."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for measure, reason in run.absent.items():
            reasons.setdefault((measure, reason), []).append(run.name)
    return [
        elements.notice(f"No {measure} of {figures.listed(names)}: {reason}")
        for (measure, reason), names in reasons.items()
    ]
