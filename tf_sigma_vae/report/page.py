"""The whole page: one HTML file that needs nothing else, and nothing of which can run."""

from tf_sigma_vae.report import (
    calibration,
    distances,
    elements,
    figures,
    headline,
    information,
    levels,
    pictures,
    records,
    rollouts,
    sweeps,
    training,
)
from tf_sigma_vae.report.content import MAX_RUNS, Content
from tf_sigma_vae.report.style import CSS

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
"""What the page may load: what it holds. Scripts, the network and other files are shut out."""

SECTIONS = {
    "figures": ("Figures", headline.section),
    "training": ("Training", training.section),
    "convergence": ("Convergence", training.convergence),
    "rollouts": ("Rollouts", rollouts.section),
    "samples": ("Samples", pictures.samples),
    "reconstructions": ("Reconstructions", pictures.reconstructions),
    "levels": ("Levels", levels.section),
    "calibration": ("Calibration", calibration.section),
    "information": ("Information", information.section),
    "distances": ("Distances", distances.section),
    "sweep": ("Sweep", sweeps.section),
    "protocols": ("Protocols", records.protocols),
    "configuration": ("Configuration", records.configuration),
    "versions": ("Versions", records.versions),
}
"""By their anchors: the short name of the contents, and what makes the part."""


def render(content: Content) -> str:
    """The page; the same text for the same content.

    Raises:
      ValueError: If there is no run, or more than lines can be told apart.
      OSError: If a picture of the sweep is broken.
    """
    if not 1 <= len(content.runs) <= MAX_RUNS:
        raise ValueError(f"a page shows 1 to {MAX_RUNS} runs, got {len(content.runs)}")
    made = {anchor: make(content) for anchor, (_, make) in SECTIONS.items()}
    made = {anchor: part for anchor, part in made.items() if part is not None}
    links = (
        elements.element("li", elements.element("a", SECTIONS[anchor][0], href=f"#{anchor}"))
        for anchor in made
    )
    dataset = content.runs[0].config["dataset"]
    heading = f"{dataset}: {_names(content)}"
    header = elements.element(
        "header",
        elements.element("h1", heading),
        *(elements.notice(text) for text in content.notices),
        headline.key(content.runs),
        elements.element("nav", elements.element("ul", *links), aria_label="Contents"),
    )
    body = elements.element("body", header, elements.element("main", *made.values()))
    head = elements.element(
        "head",
        elements.element("meta", charset="utf-8"),
        elements.element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        elements.element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        elements.element("meta", name="color-scheme", content="light dark"),
        elements.element("title", f"{heading} - tf-sigma-vae report"),
        elements.element("style", elements.Html(CSS)),
    )
    return f"<!doctype html>\n{elements.element('html', head, body, lang='en')}\n"


def _names(content: Content) -> str:
    first, *others = (run.name for run in content.runs)
    if not others:
        return first
    return (
        f"{first} and {len(others)} others"
        if len(others) > 3
        else (f"{first} compared with {figures.listed(others)}")
    )
