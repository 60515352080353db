"""Every dataset plug-in keeps the contract of its base: a new file is tested as it is."""

import inspect

import numpy as np
import pytest

from tf_sigma_vae import plugins
from tf_sigma_vae.data import _base, _videos

BASES = (_base.ImageDataset, _videos.VideoDataset)
NAMES = plugins.names("data")
# A missing source is said without a network and without waiting for one.


@pytest.fixture(params=NAMES)
def plugin(request):
    return plugins.find("data", request.param)


def needs_files(plugin):
    return plugin.tfds_name is not None or "path" in plugins.options(plugin)


def test_the_walk_finds_the_plug_ins_and_not_the_pipeline():
    assert {"digits", "mnist", "npz", "video_npz"} <= set(NAMES)
    assert "pipeline" not in NAMES


def test_plug_in_is_a_documented_dataset(plugin):
    assert issubclass(plugin, BASES)
    assert plugin.__doc__ not in [base.__doc__ for base in BASES]
    assert inspect.getdoc(plugin)
    assert plugin.plugin_name() in NAMES


def test_options_are_keywords_with_defaults_and_types(plugin):
    parameters = inspect.signature(plugin).parameters.values()
    for parameter in parameters:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter
        assert parameter.default is not inspect.Parameter.empty, parameter
        assert parameter.annotation is not inspect.Parameter.empty, parameter


def test_defaults_given_by_name_are_the_defaults(plugin):
    given = plugin(**plugins.options(plugin))
    assert vars(given) == vars(plugin())


def test_unknown_option_is_refused(plugin):
    with pytest.raises(TypeError, match=r"no_such_option|takes no arguments"):
        plugin(no_such_option=1)


def test_load_gives_what_the_contract_says(plugin, tmp_path):
    if needs_files(plugin):
        with pytest.raises(FileNotFoundError, match=plugin.plugin_name()):
            plugin().load(str(tmp_path / "nothing_here"))
        assert not list(tmp_path.iterdir())
        return
    first, second = (plugin().load() for _ in range(2))
    _base.check_arrays(first, plugin.plugin_name())
    for split, images in first.items():
        assert isinstance(images, np.ndarray)
        np.testing.assert_array_equal(images, second[split])
    train = set(map(bytes, first["train"]))
    assert not any(bytes(image) in train for image in first["test"])
