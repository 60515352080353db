"""Likelihoods p(x|z), one file each: the rows of the paper's Table 2."""

from typing import TYPE_CHECKING

from tf_sigma_vae import plugins
from tf_sigma_vae.likelihoods._base import Likelihood, NotCalibratedError

__all__ = ["Likelihood", "NotCalibratedError"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[Likelihood]:
        """A class of the loop below, which a type checker does not run."""


# Every one is imported, so that saved models load after `import tf_sigma_vae` alone.
for _name in plugins.own_names("likelihoods"):
    _class = plugins.find("likelihoods", _name)
    globals()[_class.__name__] = _class
    __all__ += [_class.__name__]
