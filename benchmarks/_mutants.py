"""The mutants of `mutations.toml`: each is one mistake that a person could make in the package."""

import dataclasses
import pathlib
import tomllib

PACKAGE = "tf_sigma_vae"
TABLE = pathlib.Path(__file__).with_name("mutations.toml")

KINDS = {
    "all_reduce": "a sum over replicas is missing, or is another one",
    "axis": "an axis or an order along it is wrong",
    "bound": "a clip, a limit or a threshold is wrong or missing",
    "constant": "a term or a factor is missing",
    "default": "a default or a named constant has another value",
    "flag_ignored": "an option is read and has no effect",
    "mean_for_sum": "a mean stands for a sum, or a sum for a mean",
    "not_atomic": "a file is seen before it is whole",
    "off_by_one": "an index or a count is off by one",
    "seed": "random numbers are drawn twice, or depend on too little",
    "sign": "a sign or a direction is flipped",
    "split": "data cross a boundary between splits",
    "state": "what should be carried on, or put back, is not",
    "std_for_variance": "a square or a square root is missing",
    "stop_gradient": "a gradient is stopped too late or too early",
    "swallowed_error": "a check is missing, or an error goes unnoticed",
    "unit": "a value is in another unit",
}


class TableError(ValueError):
    """An entry of the table is malformed, or does not fit the code any more."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One mistake: a text of a file, and what stands there instead."""

    name: str
    path: str
    """Path of the file from the root of the checkout, with slashes."""
    old: str
    """Text to replace; occurs exactly once in the file."""
    new: str
    kind: str
    """One of `KINDS`."""
    why: str
    """What is wrong with the new text."""
    tests: tuple[str, ...] = ()
    """Test files to try first, beside those that mirror `path`."""

    @property
    def folder(self) -> str:
        """Folder of the file inside the package; "root" at its top."""
        return "/".join(self.path.split("/")[1:-1]) or "root"

    def applied(self, text: str) -> str:
        """Returns the text of the file with the mistake in it.

        Raises:
          TableError: If `old` does not occur exactly once in it.
        """
        count = text.count(self.old)
        if count != 1:
            raise TableError(
                f"{TABLE.name}: the entry {self.name!r} must be updated: its `old` occurs {count} "
                f"times in {self.path}, not once:\n{self.old}"
            )
        return text.replace(self.old, self.new)


def read(path: pathlib.Path = TABLE) -> list[Mutant]:
    """Reads the table.

    Raises:
      TableError: If an entry is malformed.
    """
    with path.open("rb") as file:
        entries = tomllib.load(file)["mutant"]
    mutants = []
    for entry in entries:
        entry["tests"] = tuple(entry.get("tests", ()))
        try:
            mutants.append(Mutant(**entry))
        except TypeError as error:
            raise TableError(f"{path.name}, entry {entry.get('name')!r}: {error}") from error
    names = [mutant.name for mutant in mutants]
    for mutant in mutants:
        where = f"{path.name}, entry {mutant.name!r}"
        if names.count(mutant.name) > 1:
            raise TableError(f"{where}: the name is given twice")
        if mutant.kind not in KINDS:
            raise TableError(f"{where}: unknown kind {mutant.kind!r}; known: {', '.join(KINDS)}")
        if mutant.old == mutant.new:
            raise TableError(f"{where}: old and new are the same")
        if not mutant.path.startswith(f"{PACKAGE}/"):
            raise TableError(f"{where}: {mutant.path} is no file of {PACKAGE}/")
    return mutants


def mirrored_tests(mutant: Mutant, root: pathlib.Path) -> list[str]:
    """Returns the test files to try first: those named, then those that mirror the source.

    Files that the checkout does not have are left out: the same table serves several of them.
    """
    source = pathlib.PurePosixPath(mutant.path)
    folder = pathlib.PurePosixPath("tests", *source.parts[1:-1])
    stem = source.stem.strip("_")
    found = [name for name in mutant.tests if (root / name).is_file()]
    for path in sorted((root / folder).glob(f"test_{stem}*.py")):
        found.append(path.relative_to(root).as_posix())
    return list(dict.fromkeys(found))


def folder_tests(mutant: Mutant, root: pathlib.Path) -> list[str]:
    """Returns the folder of tests that mirrors the source's, and the tests of conventions."""
    below = mutant.path.split("/")[1:-1]
    found = [f"tests/{'/'.join(below)}"] if below else []
    if not below or below[0] in ("likelihoods", "distributions", "models", "networks", "data"):
        found += ["tests/conformance", "tests/ground_truth"]
    return [name for name in found if (root / name).is_dir()]
