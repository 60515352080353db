import dataclasses
import json

import numpy as np
import pytest

from tests.cli._in_process import Command
from tests.training._runs import metric_lines
from tests.training._video_runs import NUM_FRAMES, NUM_VIDEOS, write_videos
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import loop
from tf_sigma_vae.workdir import Workdir

# ml_collections loads a config file with it.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Of a run of two steps an epoch."""
    path = write_videos(tmp_path_factory.mktemp("data"))
    return [
        "--dataset=video_npz",
        f"--config.dataset_options.path={path}",
        "--config.model=sequence_vae",
        "--config.network=dcgan64",
        "--config.validation_fraction=0.2",
        "--config.model_options.feature_size=8",
        "--config.model_options.lstm_units=6",
        "--config.network_options.width=4",
        "--config.latent_size=3",
        "--config.train_frames=5",
        "--config.global_batch_size=4",
        "--config.num_epochs=3",
        "--config.tensorboard=False",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--config.model=vae"], ["model 'vae' is of images, dataset 'video_npz' of videos"]),
        (["--dataset=digits"], ["model 'sequence_vae' is of videos, dataset 'digits' of images"]),
        (["--config.network=conv28"], ["'conv28' is for a flat latent", "dcgan64, vgg64"]),
        (["--config.model_options.context_frames=0"], ["context_frames must be a whole number"]),
        (["--config.model_options.context_frames=5"], ["config.train_frames must be above the 5"]),
        (["--config.model_options.contxt=5"], ["has no option 'contxt'", "context_frames"]),
        (["--config.model_options.prior=flat"], ["prior must be one of learned, fixed"]),
        (["--config.model_options.scale_over=batch"], ["must be one of clip, frame"]),
        (["--config.train_frames=2"], ["config.train_frames must be above the 2 context_frames"]),
        (["--config.eval_frames=1"], ["config.eval_frames must be at least 2, got 1"]),
        (["--config.train_frames=10"], ["a clip of 10 frames", "the videos have 9"]),
        (["--config.dequantize=True"], ["config.dequantize is for images"]),
        (["--config.dataset_options.image_size=12"], ["dcgan64 needs frames of at least 16x16"]),
        (["--config.validation_fraction=0.01"], ["keeps 0 of 10"]),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_before_any_work(
    command, arguments, tmp_path, changes, words
):
    workdir = tmp_path / "run"
    if "--dataset=digits" in changes:
        arguments = [each for each in arguments if "dataset_options" not in each]
    assert command(*arguments, f"--workdir={workdir}", *changes) == 1
    for word in words:
        assert word in command.error
    assert not workdir.exists()


def test_a_dry_run_shows_videos_and_clips_and_writes_nothing(command, arguments, tmp_path):
    given = ["--config.model_options.context_frames=3", f"--workdir={tmp_path / 'run'}"]
    assert command(*arguments, *given, "--dry_run") == 0, command.error
    output = command.output
    printed, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
    config = Config.from_dict(printed)
    assert config.model_options == {"context_frames": 3, "feature_size": 8, "lstm_units": 6}
    for part in ("frame_encoder", "frame_decoder", "posterior_lstm", "prior_lstm", "predictor"):
        assert part in output
    shape = (NUM_FRAMES, 16, 16, 1)
    for name, number in (("train", NUM_VIDEOS - 2), ("validation", 2), ("test", 2)):
        assert f"{name}: {number} videos {shape} uint8" in output
    model = loop.compiled_model(config, shape[1:], 6)
    parameters = sum(v.numpy().size for v in model.trainable_variables)
    assert f"trainable parameters: {parameters:,}; training steps: 6" in output
    assert "first batch: float32 (4, 5, 16, 16, 1) in [0." in output
    assert "5 frames, of which 3 are given and 2 predicted" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_from_the_command_line_writes_what_users_rely_on(command, arguments, tmp_path):
    given = [*arguments, f"--workdir={tmp_path}", "--variant=gaussian_shared", "--seed=5"]
    assert command(*given) == 0, command.error
    assert {"config.json", "metrics.jsonl", "checkpoints", "model.keras"} == {
        path.name for path in tmp_path.iterdir()
    }
    config, _ = Workdir(tmp_path).read_config()
    assert (config.train_frames, config.likelihood, config.seed) == (5, "gaussian_shared", 5)
    lines = metric_lines(tmp_path, "validation")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(np.isfinite(line["elbo_per_frame"]) for line in lines)
    assert command(*given, "--config.model_options.context_frames=3") == 1
    assert "model_options" in command.error
    assert dataclasses.replace(config) == Workdir(tmp_path).read_config()[0]
