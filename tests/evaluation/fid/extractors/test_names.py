import pytest

from tf_sigma_vae import plugins
from tf_sigma_vae.evaluation.fid import extractors


def test_names_are_the_public_modules():
    assert extractors.names() == ["inception_2015", "inception_v3_keras", "saved_file"]


@pytest.mark.parametrize("name", extractors.names())
def test_every_extractor_is_found_by_its_module_and_made_from_a_path(name):
    cls = extractors.find(name)
    assert issubclass(cls, extractors.Extractor)
    assert cls.__name__.lower() == name.replace("_", "")
    assert cls.plugin_name() == name
    assert plugins.options(cls)["path"] is None


@pytest.mark.parametrize("name", ["_base", "inception", "", "../cache"])
def test_what_is_no_extractor_is_refused_by_the_names_of_those_that_are(name):
    with pytest.raises(ValueError, match="unknown extractor .*known: inception_2015, inception_v3"):
        extractors.find(name)
