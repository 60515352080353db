"""Loads saved models in a process that has imported this package alone, and scores images.

Arguments: a folder with `images.npy` and `<name>.keras` files; writes `<name>.npz` beside them.
"""

import pathlib
import sys

import tf_sigma_vae  # noqa: F401  (the only import of the package, as a user would do it)


def facts(model, x):
    """What must be the same in a loaded model, by name."""
    # Imported late, so that the package alone can make its classes known to Keras.
    import numpy as np

    output = model(x)
    return {
        "log_prob": output.likelihood.log_prob(x),
        "rate": output.rate,
        "sample": model.sample(2, seed=4)[1],
        "policy": model.dtype_policy.name,
        "compute_dtypes": [model.networks[0].compute_dtype, output.params.dtype.name],
        "learning_rate": model.optimizer.learning_rate.numpy(),
        "iterations": model.optimizer.iterations.numpy(),
        "momenta": np.sum([np.sum(np.abs(v.numpy())) for v in model.optimizer.variables[2:]]),
        "provenance": repr(model.likelihood.provenance()),
    }


def _main(folder):
    import keras
    import numpy as np

    x = np.load(folder / "images.npy")
    for path in sorted(folder.glob("*.keras")):
        model = keras.models.load_model(path)
        np.savez(path.with_suffix(".npz"), **facts(model, x))


if __name__ == "__main__":
    _main(pathlib.Path(sys.argv[1]))
