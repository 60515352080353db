import pytest

from tf_sigma_vae.content_hash import sha256


def test_hash_of_a_folder_is_of_names_and_contents(tmp_path):
    def folder(name, files):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sha256(str(tmp_path / name))

    first = folder("a", {"x": "1", "sub/y": "2"})
    assert folder("b", {"sub/y": "2", "x": "1"}) == first
    others = [{"x": "1", "sub/y": "3"}, {"x": "1", "y": "2"}, {"x": "1"}]
    hashes = [folder(f"c{k}", files) for k, files in enumerate(others)]
    assert len({first, *hashes}) == 4


def test_nothing_has_no_hash(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file in"):
        sha256(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="missing"):
        sha256(str(tmp_path / "missing"))


def test_what_is_left_out_does_not_count(tmp_path):
    (tmp_path / "kept").write_text("1")
    without = sha256(str(tmp_path))
    (tmp_path / "card").write_text("2")
    assert sha256(str(tmp_path)) != without
    assert sha256(str(tmp_path), leave_out=("card",)) == without


def test_a_file_has_the_hash_that_everybody_computes(tmp_path):
    (tmp_path / "abc").write_text("abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(str(tmp_path / "abc")) == expected
