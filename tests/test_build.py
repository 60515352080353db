import dataclasses

import numpy as np
import pytest

from tf_sigma_vae import build, likelihoods, plugins
from tf_sigma_vae.config import Config

TINY = Config(
    dataset="synthetic",
    dataset_options={"num_train": 20, "num_test": 5, "image_size": (4, 6)},
    network="dense",
    network_options={"hidden_sizes": (5,)},
    latent_size=3,
)
LADDER = {"model": "hierarchical_vae", "network": "ladder32", "network_options": {}}


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "minst"}, "unknown dataset 'minst'; did you mean 'mnist'\\? known: .*digits"),
        ({"likelihood": "gauss"}, r"unknown likelihood \(--variant\) 'gauss'; .*known: .*mse"),
        ({"network": "conv82"}, "unknown network 'conv82'; .*known: conv28, dcgan64, dense"),
        ({"model": "gan"}, "unknown model 'gan'; known: .*vae"),
        (
            {"model_options": {"merge": "sum"}},
            "model 'vae' has no option 'merge'; it takes: no opt",
        ),
        (
            {**LADDER, "model_options": {"latent_size": 3}},
            "'hierarchical_vae' has no option 'latent_size'; it takes: log_scale_bound, merge",
        ),
        ({**LADDER, "model_options": {"merge": "sum"}}, "merge must be one of residual, .*'sum'"),
        ({**LADDER, "network": "conv28"}, "'conv28' is for a flat latent.*for it: ladder32"),
        ({"network": "ladder32", "network_options": {}}, "'ladder32' is for a ladder latent"),
        ({**LADDER, "network_options": {"latents": [[4, 1]]}}, "latents must be pairs"),
        (
            {"dataset_options": {"sise": 4}},
            "dataset 'synthetic' has no option 'sise'; it takes: .*image_size.*num_train",
        ),
        (
            {"likelihood_options": {"momentun": 0.5}},
            "likelihood 'gaussian_optimal' has no option 'momentun'; it takes: .*momentum",
        ),
        (
            {"network_options": {"width": 4}},
            "network 'dense' has no option 'width'; it takes: .*hidden_sizes",
        ),
        ({"dataset_options": {"num_train": 0}}, "num_train must be a whole number of at least 1"),
        ({"likelihood_options": {"momentum": 1.5}}, r"momentum must lie in \[0, 1\), got 1.5"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_known_names(changes, message):
    with pytest.raises(ValueError, match=message):
        build.check(tiny(**changes))


def test_what_can_be_built_passes_the_check_without_reading_data(monkeypatch):
    cls = plugins.find("data", "synthetic")
    monkeypatch.setattr(cls, "load", None)
    build.check(TINY)


def test_the_splits_follow_the_config():
    splits = build.load_splits(tiny(validation_fraction=0.25))
    assert [part.shape for part in splits] == [(15, 4, 6, 1), (5, 4, 6, 1), (5, 4, 6, 1)]
    assert build.load_splits(tiny(validation_fraction=0.0)).validation is None
    same = build.load_splits(tiny(validation_fraction=0.25))
    other = build.load_splits(tiny(validation_fraction=0.25, seed=1))
    np.testing.assert_array_equal(splits.validation, same.validation)
    assert (splits.validation != other.validation).any()


def test_the_model_gets_every_choice_of_the_config():
    config = tiny(
        likelihood="gaussian_shared",
        likelihood_options={"initial_scale": 0.25},
        beta=2.0,
        free_bits=0.5,
        rate_warmup_steps=7,
        seed=11,
        precision="mixed_bfloat16",
    )
    model = build.model(config, (4, 6, 1))
    assert isinstance(model.likelihood, likelihoods.GaussianShared)
    assert model.likelihood.initial_scale == 0.25
    assert (model.beta, model.free_bits, model.rate_warmup_steps) == (2.0, 0.5, 7)
    assert (model.seed, model.latent_size, model.name) == (11, 3, "vae")
    assert model.network_options == {"hidden_sizes": [5]}
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.encoder.dtype_policy.name == "mixed_bfloat16"
    assert model.optimizer is None


def test_a_hierarchy_gets_the_options_of_its_model_and_network():
    options = {"latents": [[4, 1], [1, 1]], "latent_channels": 2, "channels": 4, "num_blocks": 1}
    config = tiny(
        model="hierarchical_vae",
        model_options={"merge": "precision", "log_scale_bound": 3},
        network="ladder32",
        network_options=options,
        precision="mixed_bfloat16",
    )
    build.check(config)
    model = build.model(config, (4, 6, 1))
    assert (model.merge, model.log_scale_bound, model.name) == ("precision", 3, "hierarchical_vae")
    assert model.level_shapes == [(1, 1, 3), (2, 3, 4)] and model.top_size == 3
    assert {layer.dtype_policy.name for layer in model.networks} == {"mixed_bfloat16"}
    assert not model.top_down.is_joint


def test_the_initial_weights_are_drawn_by_the_seed():
    same, again, other = (build.model(tiny(seed=seed), (4, 6, 1)) for seed in (1, 1, 2))
    kernels = [model.encoder.get_weights()[0] for model in (same, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).any()


def test_a_likelihood_of_another_range_is_refused(monkeypatch):
    head = likelihoods.GaussianFixed()
    head.value_range = (0.0, 0.5)
    monkeypatch.setattr(build, "likelihood", lambda config: head)
    with pytest.raises(ValueError, match=r"'gaussian_fixed' takes values in \(0.0, 0.5\), but"):
        build.model(tiny(likelihood="gaussian_fixed"), (4, 6, 1))


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"num_epochs": 3, "global_batch_size": 8}, 9),  # 20 images: 8 + 8 + 4
        ({"num_epochs": 3, "global_batch_size": 10}, 6),
        ({"num_epochs": 3, "global_batch_size": 100}, 3),
        ({"num_epochs": 3, "num_train_steps": 4}, 4),
    ],
)
def test_the_number_of_steps_counts_partial_batches(changes, steps):
    assert build.num_train_steps(tiny(**changes), num_examples=20) == steps


def test_dequantizing_for_a_mass_of_grey_levels_is_refused():
    with pytest.raises(ValueError, match="likelihood 'categorical' is a mass of the levels"):
        build.check(tiny(likelihood="categorical", dequantize=True))
    build.check(tiny(likelihood="gaussian_optimal", dequantize=True))
    build.check(tiny(likelihood="categorical"))


VIDEOS = {
    "dataset": "video_npz",
    "dataset_options": {"path": "absent.npz"},
    "model": "sequence_vae",
    "network": "dcgan64",
    "network_options": {"width": 4},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "synthetic", "dataset_options": {}},
            "model 'sequence_vae' is of videos, dataset 'synthetic' of images; models for it: "
            "hierarchical_vae, vae$",
        ),
        (
            {"model": "vae", "network": "conv28", "network_options": {}},
            "model 'vae' is of images, dataset 'video_npz' of videos; models for it: sequence_vae$",
        ),
        ({"train_frames": 2}, "config.train_frames must be above the 2 context_frames .* got 2"),
        ({"eval_frames": 2}, "config.eval_frames must be above the 2 context_frames .* got 2"),
        (
            {"model_options": {"context_frames": 12}},
            "config.train_frames must be above the 12 context_frames of the model, got 12",
        ),
        ({"dequantize": True}, "config.dequantize is for images: set it to False for videos"),
        (
            {"network": "conv28", "network_options": {}},
            "'conv28' is for a flat latent.*for it: dcgan64, vgg64",
        ),
        (
            {"model_options": {"context": 3}},
            "model 'sequence_vae' has no option 'context'; it takes: context_frames, .*scale_over$",
        ),
        (
            {"model_options": {"latent_size": 3}},
            "model 'sequence_vae' has no option 'latent_size'",
        ),
        ({"model_options": {"context_frames": 0}}, "context_frames must be a whole number .* 0$"),
        ({"model_options": {"context_frames": "2"}}, "context_frames must be a whole .* '2'$"),
        ({"model_options": {"lstm_units": 2.5}}, "lstm_units must be a whole number .* 2.5$"),
        ({"model_options": {"prior": "flat"}}, "prior must be one of learned, fixed; got 'flat'"),
        ({"model_options": {"scale_over": "batch"}}, "must be one of clip, frame; got 'batch'"),
        (
            {"network_options": {"feature_size": 5}},
            "no option 'feature_size'; it takes: normalization, width",
        ),
        ({"network_options": {"normalization": "batch"}}, "normalization must be one of group"),
    ],
)
def test_a_model_of_videos_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build.check(tiny(**{**VIDEOS, **changes}))


def test_a_model_of_videos_passes_the_check_without_its_data():
    build.check(tiny(**VIDEOS, model_options={"context_frames": 3}, train_frames=4, eval_frames=4))
    assert build.is_of_videos(tiny(**VIDEOS))
    assert not build.is_of_videos(TINY)


def video_config(folder, num_frames=7, frame=(16, 16, 1), **changes):
    """A configuration for an archive that is written here."""
    path = str(folder / "videos.npz")
    videos = np.zeros((10, num_frames, *frame), np.uint8)
    videos += np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1, 1)
    np.savez(path, train=videos, test=videos[:3])
    return tiny(**{**VIDEOS, "dataset_options": {"path": path}, "train_frames": 5, **changes})


def test_videos_are_held_out_whole(tmp_path):
    config = video_config(tmp_path, validation_fraction=0.3)
    splits = build.load_splits(config)
    assert [len(part) for part in splits] == [7, 3, 3]
    assert build.image_shape(splits) == (16, 16, 1)
    index = np.arange(10)
    levels = [
        part.clips(index[: len(part)], 0 * index[: len(part)], 7)[:, :, 0, 0, 0]
        for part in splits[:2]
    ]
    # Each video is of one level, which is its number.
    assert all(np.all(part == part[:, :1]) for part in levels)
    assert sorted(np.concatenate(levels)[:, 0]) == list(range(10))
    assert build.load_splits(video_config(tmp_path, validation_fraction=0.0)).validation is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_frames": 8}, r"videos.npz, train: a clip of 8 frames .* the videos have 7"),
        ({"validation_fraction": 0.01}, "keeps 0 of 10"),
        ({"validation_fraction": 0.99}, "keeps 10 of 10"),
    ],
)
def test_videos_that_are_too_short_or_too_few_are_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build.load_splits(video_config(tmp_path, **changes))


def test_test_videos_without_a_frame_to_predict_are_refused_before_training(tmp_path):
    config = video_config(tmp_path)
    path = config.dataset_options["path"]
    with np.load(path) as arrays:
        np.savez(path, train=arrays["train"], test=arrays["test"][:, :2])
    with pytest.raises(ValueError, match="npz, test: videos must be longer than the 2 context_fr"):
        build.load_splits(config)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ((12, 16, 1), r"dcgan64 needs frames of at least 16x16; got \(12, 16, 1\)"),
        ((16, 18, 3), r"at least 16x16, .*sides that are multiples of 4; got \(16, 18, 3\)"),
    ],
)
def test_frames_that_the_network_does_not_take_are_refused(frame, message, tmp_path):
    config = video_config(tmp_path, frame=frame)
    with pytest.raises(ValueError, match=message):
        build.model(config, build.image_shape(build.load_splits(config)))


def test_a_model_of_videos_gets_its_options_and_the_shape_of_a_frame(tmp_path):
    options = {"context_frames": 3, "lstm_units": 6, "feature_size": 8, "prior": "fixed"}
    config = video_config(tmp_path, model_options={**options, "scale_over": "frame"})
    model = build.model(config, build.image_shape(build.load_splits(config)))
    assert (model.image_shape, model.latent_size, model.name) == ((16, 16, 1), 3, "sequence_vae")
    assert (model.context_frames, model.lstm_units, model.feature_size) == (3, 6, 8)
    assert (model.scale_over, model.prior_kind, model.of_videos) == ("frame", "fixed", True)
    assert model.network_options == {"width": 4}
