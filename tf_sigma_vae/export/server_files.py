"""The files that tell TensorFlow Serving which model to serve and how to batch requests."""

import os
import re

from tf_sigma_vae.workdir import write_atomically

MODELS_FILE = "models.config"
"""For --model_config_file, in a container with `export_dir` at /models/NAME."""
BATCHING_FILE = "batching.config"
"""For --batching_parameters_file, together with --enable_batching."""
MAX_BATCH_SIZE = 64
"""Rows of the largest request; a server with `BATCHING_FILE` refuses larger ones."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")

_MODELS = """\
# Which models TensorFlow Serving serves: --model_config_file=/models/{name}/models.config
# Edited as you like: an export leaves the file alone once it is changed.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"  # where launch/serve.sh mounts this folder
    model_platform: "tensorflow"
    # The newest version. The one before it is unloaded when the new one answers. To pin or to roll
    # back: specific {{ versions: 3 }}.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = """\
# How TensorFlow Serving puts requests together:
#   --enable_batching --batching_parameters_file=/models/{name}/batching.config
# Edited as you like: an export leaves the file alone once it is changed.

# Rows of a batch. On a CPU the cost of an image no longer falls above 32. A request with more rows
# is refused; the client of this package cuts it.
max_batch_size {{ value: {max_batch_size} }}

# How long a request waits for others, in microseconds: less than one image takes to compute. 0 if
# requests are rare or come in large batches already; 5000 on a GPU under load.
batch_timeout_micros {{ value: 1000 }}

# Batches waiting for each signature; past that, requests are refused at once (UNAVAILABLE) instead
# of running into their deadlines. 16 of 64 rows are about a thousand images.
max_enqueued_batches {{ value: 16 }}

# Batches computed at once: as many as the server has cores, if left out.
# num_batch_threads {{ value: 4 }}

# allowed_batch_sizes is left out: it pads batches up to a few sizes, which pays only where every
# size is compiled. {padding}
pad_variable_length_inputs: false
"""

_OF_IMAGES = "Images have one size, so nothing else is to be padded either."
_OF_VIDEOS = """\
Shorter clips are not padded either, for frames of zeros
# would be scored: requests that come together must have clips of one length, or they fail. Where
# they have not, serve without --enable_batching."""


def check_name(name: str) -> None:
    """Checks the name of a served model, which is part of paths and addresses.

    Raises:
      ValueError: If it has other characters than letters, digits, `_`, `-` and `.`.
    """
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise ValueError(
            f"the name of the model is {name!r}: it must consist of letters, digits, '_', '-' and "
            "'.', and not of dots alone"
        )


def served_name(export_dir: str) -> str | None:
    """The name in the folder's `models.config`; None if there is none to be found."""
    try:
        with open(os.path.join(export_dir, MODELS_FILE), encoding="utf-8") as file:
            found = re.search(r'^\s*name:\s*"([^"]+)"', file.read(), flags=re.MULTILINE)
    except FileNotFoundError:
        return None
    return found and found.group(1)


def chosen_name(export_dir: str, name: str | None) -> str:
    """The name to serve by: that of `models.config`, or the folder's own, unless one is given.

    Raises:
      ValueError: If the name is not allowed, or `models.config` serves by another.
    """
    there = served_name(export_dir)
    if name and there and name != there:
        raise ValueError(
            f"the name is {name!r}, but {os.path.join(export_dir, MODELS_FILE)!r} serves the model "
            f"as {there!r}: give that name or none, or remove the file"
        )
    name = name or there or os.path.basename(os.path.abspath(export_dir))
    check_name(name)
    return name


def texts(name: str, of_videos: bool = False) -> dict[str, str]:
    """The content of both files, by their names, for a model of this name, of images or videos.

    Raises:
      ValueError: If the name is not allowed.
    """
    check_name(name)
    return {
        MODELS_FILE: _MODELS.format(name=name),
        BATCHING_FILE: _BATCHING.format(
            name=name,
            max_batch_size=MAX_BATCH_SIZE,
            padding=_OF_VIDEOS if of_videos else _OF_IMAGES,
        ),
    }


def write(export_dir: str, name: str, of_videos: bool = False) -> list[str]:
    """Writes both files, but over none that holds anything else than would be written.

    Args:
      export_dir: The folder of the versions.
      name: Name of the served model.
      of_videos: Whether it is of videos, whose clips may differ in length.

    Returns:
      Paths of the files that were left as they are, because their content differs.

    Raises:
      ValueError: If the name is not allowed.
      OSError: If a file cannot be read or written.
    """
    kept = []
    for file_name, text in texts(name, of_videos).items():
        path = os.path.join(export_dir, file_name)
        if not os.path.lexists(path):
            write_atomically(path, text)
            continue
        with open(path, "rb") as file:
            if file.read() != text.encode():
                kept.append(path)
    return kept
