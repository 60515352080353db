import io
import urllib.request
import zipfile

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as upstream

from tf_sigma_vae.cli import prepare
from tf_sigma_vae.data import _tfds
from tf_sigma_vae.data.celeba import Celeba

HEIGHT, WIDTH = 218, 178
# Which of the splits (train, validation, test) each face is in, by its number.
PARTITION = [0, 2, 0, 1, 0, 1, 2, 0]
# Rounding; and what JPEG changes in a smooth image.
ONE_LEVEL, JPEG_LEVELS = 1, 4
ARCHIVES = {
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
    "list_landmarks_align_celeba.txt",
    "identity_CelebA.txt",
}
QUOTA_PAGE = "<html><body>Too many users have viewed or downloaded this file.</body></html>"


def face(number):
    """An image whose red is the row, whose green is the column, whose blue tells its number."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([rows, columns, np.full_like(rows, 30 * number)], axis=-1).astype(np.uint8)


def table(headings, names):
    row = " ".join("1" for _ in headings)
    lines = [str(len(names)), " ".join(headings), *(f"{name} {row}" for name in names)]
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The five published files, in small, and their checksums in place of the real ones'."""
    folder = tmp_path_factory.mktemp("archives")
    names = [f"{1 + number:06d}.jpg" for number in range(len(PARTITION))]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(names):
            content = io.BytesIO()
            Image.fromarray(face(number)).save(content, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{name}", content.getvalue())
    partition = zip(names, PARTITION, strict=True)
    texts = {
        "list_eval_partition.txt": "".join(f"{name} {split}\n" for name, split in partition),
        "list_attr_celeba.txt": table(upstream.ATTR_HEADINGS, names),
        "list_landmarks_align_celeba.txt": table(upstream.LANDMARK_HEADINGS, names),
        "identity_CelebA.txt": "".join(f"{name} 1\n" for name in names),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    builder = type(_tfds.builder("celeb_a", str(folder)))
    infos = {
        url: tfds.download.checksums.compute_url_info(folder / info.filename)
        for url, info in builder.url_infos.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "url_infos", infos)
        yield folder


@pytest.fixture(scope="module")
def data_dir(archives, tmp_path_factory):
    data_dir = str(tmp_path_factory.mktemp("data"))
    assert "celeba is prepared" in prepare.prepare("celeba", data_dir, archives=str(archives))
    return data_dir


@pytest.fixture(scope="module")
def loaded(data_dir):
    return Celeba().load(data_dir)


def test_faces_keep_the_official_partition(loaded):
    assert set(loaded) == {"train", "validation", "test"}
    for number, split in enumerate(("train", "validation", "test")):
        faces = [i for i, place in enumerate(PARTITION) if place == number]
        blues = sorted(loaded[split][..., 2].mean(axis=(1, 2)))
        np.testing.assert_allclose(blues, 30 * np.array(faces), atol=JPEG_LEVELS)
        assert loaded[split].shape == (len(faces), 64, 64, 3)


def test_faces_are_cut_and_resized_batch_by_batch_as_they_are_read(loaded, data_dir, monkeypatch):
    monkeypatch.setattr(_tfds, "_READ_BATCH", 3)
    sizes = []
    convert = Celeba._convert
    monkeypatch.setattr(
        Celeba, "_convert", lambda self, x: sizes.append(len(x)) or convert(self, x)
    )
    again = Celeba().load(data_dir)
    assert sizes == [3, 1, 2, 2]
    for split, faces in loaded.items():
        np.testing.assert_array_equal(faces, again[split])


def check_square(image, top, left, side, atol):
    """Checks by their red and green which rows and columns of the original are in an image."""
    size = len(image)
    # Centers of the image's pixels in those of the original; its borders average over fewer.
    centers = ((np.arange(size) + 0.5) * side / size - 0.5)[1:-1]
    np.testing.assert_allclose(image[1:-1, 1:-1, 0].mean(axis=1), top + centers, atol=atol)
    np.testing.assert_allclose(image[1:-1, 1:-1, 1].mean(axis=0), left + centers, atol=atol)


def test_the_default_is_the_centered_square_of_148(loaded):
    check_square(loaded["test"][0], 35, 15, 148, JPEG_LEVELS)


@pytest.mark.parametrize(
    ("options", "box"),
    [
        ({"crop_offset": 5}, (40, 15, 148)),
        ({"crop": 140, "image_size": 32}, (39, 19, 140)),
        ({"crop": 178, "crop_offset": -20}, (0, 0, 178)),
        ({"crop": 65, "crop_offset": 76}, (152, 56, 65)),
        ({"crop": 64}, (77, 57, 64)),
    ],
)
def test_the_square_is_cut_where_the_options_say(options, box):
    (image,) = Celeba(**options)._convert(face(0)[None])
    assert image.shape == (options.get("image_size", 64),) * 2 + (3,)
    check_square(image, *box, ONE_LEVEL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 128}, r"image_size must be one of \[64, 32\], got 128"),
        ({"crop": 60}, "crop must be a whole number of at least 64, got 60"),
        ({"crop": 179}, "crop must be at most 178, the width of the images, got 179"),
        ({"crop_offset": 36}, "crop_offset must be from -35 to 35 where crop=148, got 36"),
        ({"crop_offset": -36}, "crop_offset must be a whole number of at least -35, got -36"),
    ],
)
def test_squares_outside_the_image_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Celeba(**options)


def test_missing_data_are_told_with_the_names_that_the_urls_hide(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        Celeba().load(str(tmp_path))
    for name in ARCHIVES:
        assert f" as {name} (" in str(error.value)


class Answer:
    """What a host answers to a request, with as much of `requests.Response` as is looked at."""

    status_code = 200

    def __init__(self, url, path=None):
        self.url, self.text = url, QUOTA_PAGE
        self.path = path
        self.headers = {"Content-Disposition": f'filename="{path.name}"'} if path else {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def iter_content(self, chunk_size):
        yield self.path.read_bytes()


@pytest.fixture
def drive(monkeypatch):
    """Puts an answering function of URLs in Google Drive's place."""

    def answer_with(answer):
        monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: io.BytesIO())
        monkeypatch.setattr(requests.Session, "get", lambda self, url, **_: answer(url))

    return answer_with


def test_a_refusal_of_google_drive_says_which_files_to_place_where(archives, drive, tmp_path):
    drive(Answer)
    with pytest.raises(ConnectionError) as error:
        prepare.prepare("celeba", str(tmp_path), download=True)
    message = str(error.value)
    assert "celeba could not be downloaded" in message
    assert "Google Drive shows a page in place of a large file" in message
    assert "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in message
    assert str(tmp_path / "downloads" / "manual" / "celeb_a") in message
    for name in ARCHIVES:
        assert f" as {name} (" in message


def test_only_what_was_not_placed_by_hand_is_fetched(archives, drive, tmp_path):
    folder = tmp_path / "downloads" / "manual" / "celeb_a"
    folder.mkdir(parents=True)
    fetched = "list_attr_celeba.txt"
    for path in archives.iterdir():
        if path.name != fetched:
            (folder / path.name).write_bytes(path.read_bytes())
    asked = []
    drive(lambda url: asked.append(url) or Answer(url, archives / fetched))

    assert "celeba is prepared" in prepare.prepare("celeba", str(tmp_path), download=True)
    assert asked == [upstream.ATTR_DATA]


@pytest.mark.parametrize(
    "error",
    [
        tfds.download.DownloadError("HTTP code: 403"),
        requests.exceptions.RetryError("too many 500 error responses"),
        ImportError("Failed importing bs4"),
        ValueError("Failed to obtain confirmation link"),
    ],
)
def test_any_failure_of_a_download_keeps_its_reason(error, tmp_path, monkeypatch):
    def refuse(**kwargs):
        raise error

    monkeypatch.setattr(_tfds, "_check_reachable", lambda archives, advice: None)
    source = _tfds.builder("celeb_a", str(tmp_path))
    monkeypatch.setattr(source, "download_and_prepare", refuse)
    with pytest.raises(ConnectionError, match=f"downloaded: {error}[\\s\\S]*--archives=DIR") as got:
        _tfds.prepare(source, download=True, dataset="celeba")
    assert got.value.__cause__ is error
