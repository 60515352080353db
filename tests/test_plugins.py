import pytest

from tf_sigma_vae import likelihoods, models, networks, plugins

PAPER_LIKELIHOODS = {
    "gaussian_fixed",
    "gaussian_optimal",
    "gaussian_optimal_per_image",
    "gaussian_per_channel",
    "gaussian_per_pixel",
    "gaussian_shared",
    "mse",
}


def test_names_are_the_public_modules_and_sorted():
    found = plugins.names("likelihoods")
    assert PAPER_LIKELIHOODS <= set(found)
    assert found == sorted(found)
    assert not [name for name in found if name.startswith("_")]
    assert {"conv28", "dense"} <= set(plugins.names("networks"))
    assert {"vae"} <= set(plugins.names("models"))


@pytest.mark.parametrize("name", plugins.names("likelihoods"))
def test_every_likelihood_is_exported_under_the_name_of_its_module(name):
    cls = plugins.find("likelihoods", name)
    assert cls.__name__.lower() == name.replace("_", "")
    assert getattr(likelihoods, cls.__name__) is cls
    assert cls.__name__ in likelihoods.__all__
    assert issubclass(cls, likelihoods.Likelihood)


@pytest.mark.parametrize("name", plugins.names("networks"))
def test_every_network_is_exported_under_its_module_name(name):
    assert getattr(networks, name) is plugins.find_module("networks", name)


def test_model_is_found_by_its_file_name():
    assert plugins.find("models", "vae") is models.VAE


def test_a_module_without_its_class_is_said():
    with pytest.raises(AttributeError, match="plugins has no class named 'plugins'"):
        plugins.class_of(plugins)


def test_unknown_name_lists_the_known_ones_and_the_closest():
    with pytest.raises(ValueError, match=r"'gausian_shared'; did you mean 'gaussian_shared'\?"):
        plugins.find("likelihoods", "gausian_shared")
    with pytest.raises(ValueError, match="unknown network 'qqqqq'; known: .*conv28.*dense"):
        plugins.find_module("networks", "qqqqq")


@pytest.mark.parametrize("name", ["_base", "../config", "", None])
def test_what_is_not_a_public_module_is_no_plugin(name):
    with pytest.raises(ValueError, match="unknown likelihood"):
        plugins.find("likelihoods", name)


def test_unknown_kind_lists_the_kinds():
    with pytest.raises(ValueError, match=r"'optimizers'; the kinds are \['data', 'likelihoods'"):
        plugins.names("optimizers")


def test_options_are_the_constructors_own_arguments_that_have_a_default():
    class Example:
        def __init__(self, size, depth=3, *rest, name=None, dtype=None, **kwargs):
            del size, depth, rest, name, dtype, kwargs

    assert plugins.options(Example) == {"depth": 3}
    plugins.check_options(Example, {"depth": 1}, "example")
    with pytest.raises(ValueError, match="example has no option 'size', 'width'; it takes: depth"):
        plugins.check_options(Example, {"width": 1, "size": 2}, "example")


def test_class_without_options_says_so():
    class Plain:
        def __init__(self, **kwargs):
            del kwargs

    with pytest.raises(ValueError, match="no option 'width'; it takes: no options"):
        plugins.check_options(Plain, {"width": 1}, "plain")
