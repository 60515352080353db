"""Restores a trained model from a run's folder or a `.keras` file."""

import os
import zipfile

import keras

from tf_sigma_vae import plugins

MODEL_FILE = "model.keras"


def load(path: str) -> keras.Model:
    """Loads a model.

    Args:
      path: A run's `workdir` (which holds `model.keras`), or a `.keras` file.

    Returns:
      The model, with its stored scale.

    Raises:
      FileNotFoundError: If there is no such file; the message says what was looked for.
      ValueError: If the file is damaged, or an installed plug-in cannot be imported.
    """
    path = os.fspath(path)
    file = os.path.join(path, MODEL_FILE) if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise FileNotFoundError(
            f"no model at {file!r}: give a workdir of a finished run (it holds {MODEL_FILE}) "
            "or a .keras file"
        )
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file!r} is damaged, or no .keras file: remove it and train again")
    # Keras finds a class by its registered name, once its module has been imported.
    for kind in ("likelihoods", "networks"):
        plugins.import_others(kind)
    return keras.models.load_model(file)
