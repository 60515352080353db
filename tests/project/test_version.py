"""One version number: the package's, which the packaging reads and the changelog explains."""

import re

from tf_sigma_vae import __version__

_HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", flags=re.MULTILINE)


def _released_versions(repository_root):
    changelog = (repository_root / "CHANGELOG.md").read_text(encoding="utf-8")
    return [tuple(map(int, version.split("."))) for version in _HEADING.findall(changelog)]


def test_changelog_is_ordered_from_new_to_old(repository_root):
    versions = _released_versions(repository_root)
    assert versions == sorted(set(versions), reverse=True)


def test_packaging_finds_the_version_in_the_source(repository_root):
    source = (repository_root / "tf_sigma_vae" / "version.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "([^"]+)"$', source, re.MULTILINE) == [__version__]
