"""A run that is killed and started again ends like one that was not, bit for bit."""

import pytest

from tests.training._runs import (
    STEPS_PER_EPOCH,
    Killed,
    Restarts,
    checkpoint_arrays,
    differences,
    killed,
    metric_lines,
    tiny_config,
    train,
)
from tf_sigma_vae.models import Vae
from tf_sigma_vae.training.callbacks import BestEpoch, WriteCheckpoints
from tf_sigma_vae.training.metrics_log import MetricsLog

# (class, method, when, step): in the order in which a run reaches them. Checkpoints are written
# at steps 3, 6, 7 (epoch), 9, 12, 14 (epoch), lines at the even ones.
MOMENTS = [
    (MetricsLog, "on_train_batch_end", "before", 2),  # nothing is written yet
    (WriteCheckpoints, "on_train_batch_end", "after", 3),  # a checkpoint is, between two lines
    (WriteCheckpoints, "on_train_batch_end", "before", 4),  # a line is, past the checkpoint
    (WriteCheckpoints, "on_train_batch_end", "after", 7),  # the epoch is over, not validated
    (MetricsLog, "on_epoch_end", "before", 7),  # validated, the line not written
    (WriteCheckpoints, "on_epoch_end", "before", 7),  # written, no checkpoint
    (WriteCheckpoints, "on_epoch_end", "after", 7),  # between two epochs
    (WriteCheckpoints, "on_train_batch_end", "after", 12),
    (WriteCheckpoints, "on_train_batch_end", "after", 14),  # the last step
    (WriteCheckpoints, "on_epoch_end", "after", 14),
    (Vae, "calibrate", "before", None),
    (Vae, "calibrate", "after", None),
    (Vae, "save", "after", None),  # model.keras not in place
]
# The calls of the compiled function end at steps 4, 7, 11 and 14.
MOMENTS_OF_FOUR_STEPS = [
    (WriteCheckpoints, "on_train_batch_end", "after", 4),
    (MetricsLog, "on_train_batch_end", "before", 7),
    (WriteCheckpoints, "on_epoch_end", "before", 7),
    (WriteCheckpoints, "on_train_batch_end", "after", 11),
]
FEW_MOMENTS = [
    (WriteCheckpoints, "on_train_batch_end", "before", 1),
    (WriteCheckpoints, "on_train_batch_end", "before", 5),
    (WriteCheckpoints, "on_epoch_end", "before", 14),
]
VARIANTS = {
    "optimal": (
        {
            "likelihood": "gaussian_optimal",
            "ema_momentum": 0.9,
            "clip_norm": 1.0,
            "dequantize": True,
            "flip": True,
            "rate_warmup_steps": 10,
            "warmup_steps": 3,
            "learning_rate_schedule": "cosine",
        },
        MOMENTS,
    ),
    "shared_from_data_in_bfloat16": (
        {
            "likelihood": "gaussian_shared",
            "likelihood_options": {"initial_scale": "data"},
            "precision": "mixed_bfloat16",
            "optimizer": "sgd",
            "learning_rate": 1e-4,
        },
        FEW_MOMENTS,
    ),
    "per_image_four_steps_a_call": (
        {"likelihood": "gaussian_optimal_per_image", "steps_per_execution": 4},
        MOMENTS_OF_FOUR_STEPS,
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_at_any_moment_ends_like_one_that_was_not(variant, tmp_path, monkeypatch):
    changes, moments = VARIANTS[variant]
    config = tiny_config(**changes)
    Restarts().install(monkeypatch)
    train(config, tmp_path / "whole")
    for moment in moments:
        with killed(monkeypatch, *moment), pytest.raises(Killed):
            train(config, tmp_path / "killed")
        assert not (tmp_path / "killed" / "model.keras").exists()
    model = train(config, tmp_path / "killed")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
    assert int(model.optimizer.iterations) == 2 * STEPS_PER_EPOCH
    # Once more, as after a kill in the very last moment.
    train(config, tmp_path / "killed")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []


def test_a_killed_run_stops_early_at_the_same_epoch_with_the_same_best_weights(
    tmp_path, monkeypatch
):
    config = tiny_config(
        likelihood="gaussian_optimal",
        num_epochs=40,
        learning_rate=0.05,
        early_stopping_patience=2,
        select="best",
        checkpoint_every_steps=100,
    )
    Restarts().install(monkeypatch)
    train(config, tmp_path / "whole")
    lines = metric_lines(tmp_path / "whole")
    elbos = [line["elbo"] for line in lines if line["split"] == "validation"]
    best = elbos.index(max(elbos))
    assert 1 <= best < 37
    assert len(elbos) == best + 3  # patience is 2
    first, last = STEPS_PER_EPOCH * (best + 1), STEPS_PER_EPOCH * (best + 3)
    for moment in [
        (BestEpoch, "on_epoch_end", "before", first),
        (WriteCheckpoints, "on_epoch_end", "before", first),  # the best is written, the state not
        (WriteCheckpoints, "on_epoch_end", "before", last),
        (WriteCheckpoints, "on_epoch_end", "after", last),  # told to stop
    ]:
        with killed(monkeypatch, *moment), pytest.raises(Killed):
            train(config, tmp_path / "killed")
    model = train(config, tmp_path / "killed")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
    assert int(model.optimizer.iterations) == first
    assert checkpoint_arrays(tmp_path / "killed")["optimizer/0/.ATTRIBUTES/VARIABLE_VALUE"] == last
