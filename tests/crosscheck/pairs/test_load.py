"""Pairs from files: each pair once and in order, and one clear message for each way in which a file is no use."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crosscheck.checks import checks_of
from crosscheck.core.operation import PairError
from crosscheck.pairs.load import LoadingError, declared, find
from crosscheck.pairs.prepare import prepare

HEADER = """
import crosscheck
from torch import nn

class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad_output):
        return grad_output * self.mask

def pair(name):
    return crosscheck.Pair(Relu(), nn.ReLU(), [(2, 3)], name=name)
"""


def written(folder: Path, text: str, name: str = "pairs.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def titles(folder: Path, text: str) -> list[str]:
    return [pair.title for pair in declared(written(folder, HEADER + text))]


FOUND = {
    "values of the module": ("B = pair('b')\nA = pair('a')\n_hidden = pair('c')\nother = 3\n", ["b", "a", "c"]),
    "list": ("PAIRS = [pair('b'), 3, pair('a')]", ["b", "a"]),
    "tuple": ("PAIRS = (pair('b'), pair('a'))", ["b", "a"]),
    "dict": ("PAIRS = {1: pair('b'), 2: pair('a')}", ["b", "a"]),
    "function": ("def test():\n    pass\n\ntest.crosscheck_pairs = [pair('a'), pair('b')]\n", ["a", "b"]),
    "each once": ("A = pair('a')\nPAIRS = [A, pair('b'), A]\nagain = A\n", ["a", "b"]),
    "main guard not run": ("A = pair('a')\nif __name__ == '__main__':\n    raise SystemExit(3)\n", ["a"]),
}


@pytest.mark.parametrize("case", FOUND)
def test_pairs_that_are_found(case: str, tmp_path: Path) -> None:
    text, expected = FOUND[case]
    assert titles(tmp_path, text) == expected


def test_edit_of_the_same_second_and_size_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode of the file as it was is not taken for the file as it is; none is left in the folder."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name in ("a", "b"):
        path = written(tmp_path, f"{HEADER}A = pair('{name}')\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert [pair.title for pair in declared(path)] == [name]
    assert [entry.name for entry in tmp_path.iterdir()] == ["pairs.py"]


def test_origin_is_the_file(tmp_path: Path) -> None:
    """Wherever the code stands that makes the pair."""
    written(tmp_path, HEADER, "loading_maker.py")
    path = written(tmp_path, "from loading_maker import pair\nA = pair('a')\n")
    assert declared(path)[0].origin == path.resolve()


def test_pair_by_its_title(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "PAIRS = [pair('a'), pair('b')]")
    assert find(path, "b").title == "b"
    with pytest.raises(LoadingError, match=r"no pair is called 'c'; the pairs are: 'a', 'b'"):
        find(path, "c")


def test_neighbours_are_imported_and_not_mixed_up(tmp_path: Path) -> None:
    """Two folders with a module of one name: each file gets its own."""
    found = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, f"TITLE = {folder!r}\n", "loading_neighbour.py")
        path = written(tmp_path / folder, HEADER + "import loading_neighbour\nA = pair(loading_neighbour.TITLE)\n")
        found.append(declared(path)[0].title)
    assert found == ["one", "two"]
    assert str(tmp_path / "two") not in sys.path


def test_classes_can_be_pickled(tmp_path: Path) -> None:
    subject = declared(written(tmp_path, HEADER + "A = pair('a')"))[0].subject
    assert type(pickle.loads(pickle.dumps(subject))) is type(subject)  # noqa: S301 - our own


def refused(path: Path | str) -> str:
    with pytest.raises(LoadingError) as error:
        declared(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A = 3\n", "declares no pair; expected a Pair, an OptimizerPair or a ModelPair"),
        (HEADER + "PAIRS = [pair('a'), pair('a')]", "2 pairs are called 'a'"),
        ("x = 1\ny = (\n", "SyntaxError in line 2"),
        ("  x = 1\n", "IndentationError in line 1"),
        ("def f():\n    return 1 / 0\n\nf()\n", "importing it raised ZeroDivisionError: division by zero ("),
        ("raise SystemExit(3)\n", "importing it raised SystemExit: 3"),
        ("import no_such_module_at_all\n", "No module named 'no_such_module_at_all'"),
        ("a = '\x00'\n", "null bytes"),
    ],
    ids=["no-pair", "twice", "syntax", "indentation", "raises", "exits", "no-module", "nul"],
)
def test_file_that_is_no_use(text: str, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    message = refused(path)
    assert message.startswith(f"{path}: ")
    assert words in message


def test_wrong_declaration_is_kept(tmp_path: Path) -> None:
    """In a file it is a pair that cannot be checked; made anywhere else it raises at once."""
    path = written(tmp_path, HEADER + "A = crosscheck.Pair(Relu(), nn.ReLU(), [(2, 3)], dtypes=['float16'])\nB = pair('b')\n")
    wrong, right = declared(path)
    assert "dtypes is ['float16']" in str(wrong.wrong)
    assert right.wrong is None
    assert checks_of(wrong) == []
    with pytest.raises(PairError, match="dtypes is"):
        prepare(wrong)
    with pytest.raises(PairError, match="dtypes is"):
        replace(wrong)  # type: ignore[type-var]


def test_line_of_an_exception(tmp_path: Path) -> None:
    assert "pairs.py:2, f)" in refused(written(tmp_path, "def f():\n    return 1 / 0\n\nf()\n"))


def test_syntax_error_of_a_neighbour(tmp_path: Path) -> None:
    written(tmp_path, "x = (\n", "loading_broken.py")
    assert "loading_broken.py, line 1" in refused(written(tmp_path, "\nimport loading_broken\n"))


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.py").endswith("gone.py: no such file")


def test_name_of_a_file_with_a_typo(tmp_path: Path) -> None:
    path = written(tmp_path, "", "pairs.py")
    assert refused(tmp_path / "piars.py").endswith(f"piars.py: no such file; did you mean {path}?")


def test_one_pair_of_a_file_as_pytest_names_it(tmp_path: Path) -> None:
    path = written(tmp_path, "", "pairs.py")
    assert refused(f"{path}::relu") == f"{path}::relu: expected a file; to check one of its pairs, write {path} --only relu"


def test_folder(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith(f"is a folder, expected a Python file that declares pairs; name its files, as in {tmp_path / '*.py'}")


def test_no_python_file(tmp_path: Path) -> None:
    assert "is not a Python file" in refused(written(tmp_path, "", "pairs.txt"))


def test_failed_module_is_forgotten(tmp_path: Path) -> None:
    before = set(sys.modules)
    refused(written(tmp_path, "1 / 0\n"))
    assert not [name for name in set(sys.modules) - before if name.startswith("crosscheck_pairs_")]


def test_interrupt_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        declared(written(tmp_path, "raise KeyboardInterrupt\n"))
