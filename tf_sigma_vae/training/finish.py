"""The end of a training: the final weights, the exact scale, and `model.keras`."""

from tf_sigma_vae import data
from tf_sigma_vae.config import Config
from tf_sigma_vae.models import LatentVariableModel
from tf_sigma_vae.training import agreement, batches, optimizer
from tf_sigma_vae.training.checkpoints import Checkpoints
from tf_sigma_vae.workdir import Workdir, atomic_path


def finish(
    config: Config,
    model: LatentVariableModel,
    splits: data.Splits | data.VideoSplits,
    checkpoints: Checkpoints,
    files: Workdir,
) -> None:
    """Takes the final weights, calibrates, and writes `model.keras` in one move.

    Args:
      config: The configuration.
      model: The trained model.
      splits: The data.
      checkpoints: The training state.
      files: The workdir.
    """
    if config.select == "best":
        checkpoints.load_best()
    if config.ema_momentum > 0:
        optimizer.innermost(model.optimizer).swap_average()
    if config.calibrate and model.likelihood.needs_calibration:
        say = print if checkpoints.writes else (lambda text: None)
        say("calibrating the scale on the training set ...")
        say(f"scale: {model.calibrate(batches.in_order(config, splits.train))}")
    if checkpoints.writes:
        with atomic_path(files.model_file) as temporary:
            model.save(temporary)
        print(f"wrote {files.model_file}")
    # The chief's process serves the others: none may leave before the rest is done.
    agreement.wait_for_all(model.distribute_strategy)
