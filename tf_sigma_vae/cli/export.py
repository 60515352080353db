"""Exports a finished run for TensorFlow Serving: a SavedModel that needs neither Keras nor us.

  sigma-vae-export --workdir=runs/a --export_dir=served/digits
  launch/serve.sh served/digits

Writes served/digits/<version>: reconstruct, encode, decode, sample, elbo and anomaly (of a model of
videos: predict, encode, elbo and anomaly) with the scale that the run has stored, warm-up requests,
and MODEL_CARD.md, which lists the signatures. It computes in float32, as its weights are, also if
it was trained in mixed precision.
A version appears in one step, complete, and is never overwritten; the next one is a number higher.
Refused are a scale that was never calibrated, weights that are not finite, and an export that, once
reloaded, answers otherwise than the Python model.
"""

import sys

from absl import flags, logging

from tf_sigma_vae.cli import _command
from tf_sigma_vae.export import conformal, convert, release
from tf_sigma_vae.export.check import ExportError
from tf_sigma_vae.likelihoods import NotCalibratedError
from tf_sigma_vae.workdir import WorkdirError

PROGRAM = "sigma-vae-export"
EXPECTED_ERRORS = (
    ValueError,
    OSError,
    ImportError,
    WorkdirError,
    ExportError,
    NotCalibratedError,
    FloatingPointError,
)


def define_flags() -> None:
    """Defines this command's flags; called once, where the command starts."""
    flags.DEFINE_string("workdir", None, "Folder of a finished run.", required=True)
    flags.DEFINE_string(
        "export_dir", None, "Folder of the versions of one served model.", required=True
    )
    flags.DEFINE_integer("version", None, "Above all that are there; the next one if not given.")
    flags.DEFINE_integer("keep", None, "Keep this many of the newest versions; all if not given.")
    flags.DEFINE_string(
        "name", None, "Name to serve by; as in models.config, or the last folder of export_dir."
    )
    flags.DEFINE_enum(
        "split",
        "auto",
        conformal.SPLITS,
        "Held-out examples that the p-values of the signature anomaly compare with; auto is "
        "validation where the run has it and did not choose its weights by it, else test.",
    )
    flags.DEFINE_integer("num_examples", 0, "How many of its first images or videos; 0 for all.")
    flags.DEFINE_integer(
        "num_frames",
        None,
        "Frames that predict gives beyond the context, of a model of videos; as many as an "
        "evaluation predicts if not given.",
    )
    flags.DEFINE_list(
        "convert", [], f"Write encode and decode as these too: {', '.join(convert.FORMATS)}."
    )
    flags.DEFINE_string("data_dir", None, "Where the data are; as in training if not given.")
    flags.DEFINE_boolean("download", False, "Fetch missing data from the network.")


def main() -> None:
    """Runs the command from the parsed flags."""
    logging.set_verbosity(logging.ERROR)
    values = flags.FLAGS
    try:
        found = release.release(
            values.workdir,
            values.export_dir,
            version=values.version,
            keep=values.keep,
            name=values.name,
            split=values.split,
            num_examples=values.num_examples,
            formats=tuple(values.convert),
            num_frames=values.num_frames,
            data_dir=values.data_dir,
            download=values.download,
        )
    except EXPECTED_ERRORS as error:
        sys.exit(f"{PROGRAM}: error: {error}")
    show(found)


def show(found: release.Release) -> None:
    """Prints what was published."""
    for file in found.kept_files:
        print(f"left as it is, for it is not what would be written (edited, perhaps): {file}")
    if found.removed:
        print(f"removed: {', '.join(str(version) for version in found.removed)}")
    print(f"wrote {found.path}: what it answers is that of the Python model; see its MODEL_CARD.md")


def run() -> None:
    """The entry point."""
    _command.run(main, __doc__, define_flags)


if __name__ == "__main__":
    run()
