"""The small print: protocols of all figures, configurations and versions."""

import json
from collections.abc import Sequence

from tf_sigma_vae.report import elements, figures
from tf_sigma_vae.report.content import Content, Run

HOW_TO_READ_PROTOCOLS = (
    "All that the figures depend on, as it is kept beside them in the run's folder. Figures of "
    "different protocols are not compared."
)
HOW_TO_READ_CONFIGURATION = (
    "What the runs differ in, and every field of each. sigma-vae-train makes the same run from "
    "the same fields."
)
HOW_TO_READ_VERSIONS = "The packages that the figures were made with."


def protocols(content: Content) -> elements.Html | None:
    """The protocol of every measure of every run, folded away; None if there is none."""
    parts = []
    for run in content.runs:
        for name, record in run.measures.items():
            label = f"{name} of {run.name}"
            text = elements.preformatted(_json(record["protocol"]), label)
            parts.append(elements.details(label, text))
    if not parts:
        return None
    return elements.section("protocols", "Protocols", HOW_TO_READ_PROTOCOLS, *parts)


def configuration(content: Content) -> elements.Html:
    """Fields that differ as a table, and all fields folded away."""
    runs = content.runs
    parts = []
    if len(runs) > 1:
        names = [name for name in runs[0].config if _differs(runs, name)]
        rows = [[name, *(_value(run.config.get(name)) for run in runs)] for name in names]
        heading = ["field", *(run.name for run in runs)]
        parts.append(
            elements.table("Fields in which the runs differ", heading, rows)
            if rows
            else elements.note("The configurations are the same in every field.")
        )
    for run in runs:
        label = f"configuration of {run.name}"
        text = elements.preformatted(_json(run.config), label)
        parts.append(elements.details(label, elements.note(f"Folder: {run.workdir}"), text))
    return elements.section("configuration", "Configuration", HOW_TO_READ_CONFIGURATION, *parts)


def versions(content: Content) -> elements.Html | None:
    """Packages and their versions, of all measures; None if no record says."""
    found: dict[str, list[str]] = {}
    for run in content.runs:
        for record in run.measures.values():
            for package, version in record["protocol"].get("versions", {}).items():
                known = found.setdefault(package, [])
                if version not in known:
                    known.append(version)
    if not found:
        return None
    rows = [[package, ", ".join(known)] for package, known in found.items()]
    several = any(len(known) > 1 for known in found.values())
    return elements.section(
        "versions",
        "Versions",
        HOW_TO_READ_VERSIONS,
        elements.notice("Not all figures were made with the same versions.") if several else None,
        elements.table("Versions", ["package", "version"], rows),
    )


def _differs(runs: Sequence[Run], name: str) -> bool:
    return any(run.config.get(name) != runs[0].config[name] for run in runs)


def _value(value: object) -> str:
    if value is None:
        return figures.ABSENT
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
