import numpy as np
import pytest

from tests._videos import CONTEXT, FRAME, LENGTH, InstantSvg, source, videos
from tf_sigma_vae import image_grid, video_frames
from tf_sigma_vae.evaluation import _labels, video_samples

NUM_FRAMES = LENGTH + 2
"""Of the films: longer than the videos are."""
SIDE = 64
"""Of an enlarged frame."""
FACTOR = SIDE // FRAME[0]


@pytest.fixture(scope="module")
def model():
    return InstantSvg()


def draw(model, **changes):
    given = {"num_frames": NUM_FRAMES, "num_clips": 4, "num_samples": 2, "seed": 3}
    return video_samples.draw(model, source(6), **{**given, **changes})


@pytest.fixture(scope="module")
def rollouts(model):
    return draw(model)


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of every labelled grid that is drawn."""
    calls = []
    original = _labels.picture

    def record(images, title, subtitle="", **options):
        calls.append({"images": images, "title": title, "subtitle": subtitle, **options})
        return original(images, title, subtitle, **options)

    monkeypatch.setattr(_labels, "picture", record)
    return calls


def inside(images):
    """Frames of a labelled grid without their borders, as small as they were."""
    width = video_samples.BORDER
    return images[..., width:-width:FACTOR, width:-width:FACTOR, :]


def border(images):
    """The color of the border of each frame of a grid."""
    outer = images[..., 0, 0, :]
    np.testing.assert_array_equal(outer, images[..., -1, -1, :])
    return outer


def test_the_clips_are_the_first_frames_of_videos_chosen_by_seed(model, rollouts):
    np.testing.assert_array_equal(rollouts.truth, videos(6)[rollouts.numbers])
    assert len(set(rollouts.numbers.tolist())) == 4
    again, other = draw(model), draw(model, seed=4)
    for first, second in zip(rollouts, again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert other.numbers.tolist() != rollouts.numbers.tolist()


def test_films_may_be_shorter_than_videos_and_clips_fewer_than_asked_for(model):
    found = draw(model, num_frames=4, num_clips=99, num_samples=1)
    assert (found.num_frames, found.context_frames) == (4, CONTEXT)
    np.testing.assert_array_equal(found.truth, videos(6)[found.numbers, :4])
    assert sorted(found.numbers) == list(range(6))
    assert found.posterior.shape[1] == found.mean.shape[1] == found.samples.shape[2] == 2


def test_samples_follow_the_seed_and_the_temperature(model, rollouts):
    assert np.any(rollouts.samples[:, 0] != rollouts.samples[:, 1])
    cold = draw(model, temperature=0.0)
    np.testing.assert_allclose(
        cold.samples.astype(int), np.repeat(cold.mean[:, None].astype(int), 2, axis=1), atol=1
    )
    np.testing.assert_array_equal(cold.mean, rollouts.mean)
    more = draw(model, num_samples=3)
    np.testing.assert_array_equal(more.samples[:, :2], rollouts.samples)


def test_the_best_is_of_so_many_that_the_shown_ones_are_the_first_of(model, rollouts):
    assert rollouts.best_of == video_samples.BEST_OF
    context = rollouts.truth[:3, :CONTEXT]
    ids = model.rollout_noise_ids(video_frames.unit_interval(context), rollouts.best_of, 3)
    every = video_frames.rollouts(model, context, NUM_FRAMES - CONTEXT, ids)
    np.testing.assert_allclose(every[:, :2].astype(int), rollouts.samples[:3].astype(int), atol=1)
    truth = rollouts.truth[:3, None, CONTEXT:] / 255.0
    mse = np.mean((every[:, :, : LENGTH - CONTEXT] / 255.0 - truth) ** 2, axis=(3, 4, 5))
    places = np.argmax(np.mean(-10.0 * np.log10(mse), axis=2), axis=1)
    best = every[np.arange(3), places]
    np.testing.assert_allclose(rollouts.best.astype(int), best.astype(int), atol=1)
    assert len(set(places.tolist())) > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_clips": 0}, "num_clips must be at least 1, got 0"),
        ({"num_samples": -1}, "num_samples must be at least 1, got -1"),
        ({"num_frames": 1}, "num_frames must be at least 2, .*, got 1"),
        ({"num_frames": 2}, "num_frames is 2, with the 2 frames that are given; .* at least 3"),
    ],
)
def test_impossible_numbers_are_refused_by_name(model, given, message):
    with pytest.raises(ValueError, match=message):
        draw(model, **given)


def test_videos_without_a_frame_to_predict_are_refused(model):
    with pytest.raises(ValueError, match="the videos: the videos have 2 frames, and 2 of them"):
        video_samples.draw(model, source(3, length=2), num_frames=5)


def test_frames_that_are_not_finite_are_said_without_a_warning(model, monkeypatch):
    nan = np.full((1, *FRAME), np.nan)
    monkeypatch.setattr(
        video_samples.video_frames, "mean_rollouts", lambda *_: image_grid.to_uint8(nan)
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(model)


def test_a_film_shows_the_context_bit_for_bit_in_every_column(rollouts, drawn):
    film = video_samples.film(rollouts, where="here; ")
    assert film.shape[0] == NUM_FRAMES == len(drawn)
    assert film.dtype == np.uint8 and film.shape[3] == 3
    for place, call in enumerate(drawn):
        assert inside(call["images"]).shape == (4, 5, *FRAME)
        if place < CONTEXT:
            for column in range(5):
                np.testing.assert_array_equal(
                    inside(call["images"])[:, column], rollouts.truth[:, place]
                )
    after = inside(drawn[CONTEXT + 1]["images"])
    np.testing.assert_array_equal(after[:, 0], rollouts.truth[:, CONTEXT + 1])
    np.testing.assert_array_equal(after[:, 1], rollouts.posterior[:, 1])
    np.testing.assert_array_equal(after[:, 2], rollouts.mean[:, 1])
    np.testing.assert_array_equal(after[:, 3:], rollouts.samples[:, :, 1])


def test_a_film_tells_given_frames_from_predicted_ones_and_counts_them(rollouts, drawn):
    film = video_samples.film(rollouts)
    titles = [call["title"] for call in drawn]
    assert titles[0] == f"frame 1 of {NUM_FRAMES}: given"
    assert titles[-1] == f"frame {NUM_FRAMES} of {NUM_FRAMES}: predicted"
    for place, call in enumerate(drawn):
        wanted = video_samples.GIVEN if place < CONTEXT else video_samples.PREDICTED
        assert call["title_color"] == wanted
        colors = border(call["images"])
        assert np.all(colors[:, 2:] == wanted)
        truth = video_samples.NO_DATA if place >= LENGTH else wanted
        assert np.all(colors[:, :2] == truth)
        if place >= LENGTH:
            assert np.all(call["images"][:, :2] == video_samples.NO_DATA[0])
    names = [name.replace("\n", " ") for name in drawn[0]["column_labels"]]
    assert names[:3] == ["ground truth", "approx. posterior", "mean rollout"]
    assert names[3:] == ["sample 1", "sample 2"]
    assert drawn[0]["row_labels"] == [f"#{number}" for number in rollouts.numbers]
    # No two frames are equal, which a file of a film would hold once.
    assert np.all(np.any(film[1:] != film[:-1], axis=(1, 2, 3)))


def test_a_larger_film_has_larger_frames(rollouts):
    small, large = (video_samples.film(rollouts, side) for side in (64, 128))
    assert large.shape[1] > 1.5 * small.shape[1] and large.shape[2] > 1.5 * small.shape[2]


def test_strips_hold_the_frames_that_their_labels_say(rollouts, drawn):
    picture = video_samples.strips(rollouts)
    assert len(drawn) == video_samples.STRIP_CLIPS
    assert picture.mode == "RGB" and picture.width >= NUM_FRAMES * SIDE
    for clip, call in enumerate(drawn):
        assert call["column_labels"] == ["given"] * 2 + [f"step {n}" for n in range(1, 8)]
        assert list(call["row_labels"]) == [
            "ground truth",
            "approx. posterior",
            "mean rollout",
            f"best of {rollouts.best_of} (PSNR)",
            "sample 1",
            "sample 2",
        ]
        frames, colors = inside(call["images"]), border(call["images"])
        np.testing.assert_array_equal(frames[0, :LENGTH], rollouts.truth[clip])
        np.testing.assert_array_equal(frames[1, CONTEXT:LENGTH], rollouts.posterior[clip])
        np.testing.assert_array_equal(frames[2, CONTEXT:], rollouts.mean[clip])
        np.testing.assert_array_equal(frames[3, CONTEXT:], rollouts.best[clip])
        np.testing.assert_array_equal(frames[4:, CONTEXT:], rollouts.samples[clip])
        assert np.all(frames[:2, LENGTH:] == video_samples.NO_DATA[0])
        assert np.all(colors[:, :CONTEXT] == video_samples.GIVEN)
        assert np.all(colors[2:, CONTEXT:] == video_samples.PREDICTED)


def test_a_long_strip_has_all_given_frames_and_some_steps_with_the_first_and_last():
    places = video_samples._columns(2, 30)
    assert len(places) == video_samples.MOST_COLUMNS
    assert places[:3] == [0, 1, 2] and places[-1] == 29
    assert sorted(set(places)) == places
    assert video_samples._column_labels(places, 2)[1:4] == ["given", "step 1", "step 3"]
    assert len(video_samples._columns(20, 40)) == 20 + video_samples.MOST_COLUMNS // 2


def test_one_step_reconstructions_are_those_of_the_clips(model, rollouts, drawn):
    video_samples.posterior(model, rollouts, seed=5)
    assert len(drawn) == video_samples.STRIP_CLIPS
    expected = video_frames.reconstructions(model, rollouts.truth[:3], seed=5)
    for clip, call in enumerate(drawn):
        np.testing.assert_array_equal(inside(call["images"]), expected[:, clip])
        np.testing.assert_array_equal(inside(call["images"])[0], rollouts.truth[clip, CONTEXT:])
        assert call["row_labels"] == ("original", "mean", "noisy")
        assert f"video {rollouts.numbers[clip]}" in call["title"]


def test_grey_videos_are_drawn_as_well():
    frame = (16, 16, 1)
    grey, given = InstantSvg(frame), source(2, frame=frame)
    found = video_samples.draw(grey, given, num_frames=5, num_clips=2, num_samples=1)
    assert found.truth.shape == (2, 5, *frame)
    assert video_samples.film(found).shape[3] == 3
