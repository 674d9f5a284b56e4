"""SmallCases run: each ends with 1 while the fault is there and with 0 once it is gone, whatever stands in names and reasons."""

from __future__ import annotations

import functools
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import crosscheck
from crosscheck.checks import checks_of
from crosscheck.core.precision import Array
from crosscheck.run.check import run_check
from crosscheck.shrinking.script import SmallCase, reproduce, script
from tests.support import ROOT, small_cases
from tests.support.plain import Rough, RoughReference
from tests.support.small_cases import SHOWN, caught
from tests.support.ways_in import KINDS, in_file, selection


class Sign:
    """The positive part, its gradient wrong by a sign."""

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad_output: Array) -> Array:
        return -grad_output * self.mask


def reproduction_of(fault: str, file: Path) -> SmallCase:
    found = caught(fault, file).reproduction
    assert isinstance(found, SmallCase)
    return found


@functools.cache
def of_relu(name: str) -> tuple[crosscheck.Pair, SmallCase]:
    """Return a pair made in no file of its own, and a reproduction of its fault."""
    pair = crosscheck.Pair(Sign(), nn.ReLU(), [(2, 3)], name=name)
    found = run_check(pair, checks_of(pair)[0], crosscheck.Settings()).reproduction
    assert isinstance(found, SmallCase)
    return pair, found


def status(path: Path) -> Any:
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path))
    return end.value.code


def write(found: SmallCase, folder: Path, name: str) -> Path:
    """Write a script into a folder, which is made if need be."""
    folder.mkdir(exist_ok=True)
    path = folder / f"reproduce-{name}.py"
    path.write_text(found.script)
    return path


def run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603


@pytest.mark.slow(
    "each fault is made small and its script run twice; the rows show each convention and each kind of layer",
    default=["linear-row", "linear-writes", "relu-leaks", "loss-epsilon", "conv-functions-bias"],
)
@pytest.mark.parametrize("fault", SHOWN)
def test_script_tells_the_fault_from_its_repair(fault: str, tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    found = reproduction_of(fault, file)
    path = write(found, tmp_path, fault)
    assert found.small.quantity == SHOWN[fault].quantity
    assert found.elements <= 64
    assert status(path) == 1
    small_cases.write(fault, file, repaired=True)
    assert status(path) == 0


@pytest.mark.slow("starts two processes; one is started by test_saved_script_finds_its_file_from_anywhere")
def test_script_runs_on_its_own_from_anywhere(tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "layers.py", tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write(reproduction_of("conv-sign", file), tmp_path, "conv-sign")
    ended = run(path, elsewhere)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("MISMATCH\n  where         conv.weight.grad")
    small_cases.write("conv-sign", file, repaired=True)
    assert run(path, elsewhere).returncode == 0


def test_script_names_the_file_as_seen_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = reproduction_of("linear-row", tmp_path / "layers.py")
    assert "load('layers.py', 'linear-attributes')" in found.script
    assert status(write(found, tmp_path / "reproductions", "linear-row")) == 1


def test_script_says_in_words_what_is_wrong(tmp_path: Path) -> None:
    text = reproduction_of("conv-sign", tmp_path / "layers.py").script.split('"""')[1]
    assert text.startswith("conv: weight.grad differs from the reference")
    assert "the sign is wrong" in text
    assert "input 4x2x7x6 to 1x1x" in text


def test_file_that_is_gone_could_not_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "layers.py"
    path = write(reproduction_of("linear-row", file), tmp_path, "linear")
    file.unlink()
    assert status(path) == 2
    assert "layers.py: no such file" in capsys.readouterr().err


def test_file_that_raises_could_not_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception would end the script with 1, as if the fault were there."""
    file = tmp_path / "layers.py"
    path = write(reproduction_of("linear-row", file), tmp_path, "linear")
    file.write_text("1 / 0\n")
    assert status(path) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_pair_without_a_file_is_to_be_put_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair, found = of_relu("relu")
    object.__setattr__(pair, "origin", None)
    text = script(pair, found.small)
    assert "insert it here" in text
    assert status(write(replace(found, script=text), tmp_path, "relu")) == 2
    assert "insert the pair into the script" in capsys.readouterr().err


BAD_NAMES = {
    "quotes": 'a """\nraise SystemExit(7)\n"""',
    "backslash": "ends in a backslash \\",
    "quote-at-the-end": 'ends in a quote "',
    "single-quotes": "'''\\'); raise SystemExit(7) #",
    "newline": "a\nraise SystemExit(7)\n\r\x0c\u2028b",
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "escape": "\\N{nothing} \\x \\u12 \\",
    "unicode": "Faltung \N{GREEK SMALL LETTER ETA} \N{RIGHT-TO-LEFT OVERRIDE}",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_do_not_get_out_of_their_quotes(name: str, tmp_path: Path) -> None:
    """The file holds no pair of this name: a script that is read as it was meant ends with 2."""
    pair, found = of_relu(BAD_NAMES[name])
    text = script(pair, found.small)
    path = write(replace(found, script=text), tmp_path, "x")
    compile(path.read_text(encoding="utf-8"), "x", "exec")
    object.__setattr__(pair, "origin", tmp_path / "gone.py")
    assert status(write(replace(found, script=script(pair, found.small)), tmp_path, "x")) == 2


SPECIAL = {
    "float64": np.array([0.1, -0.0, 1e-320, 1 / 3, 2.0**70, np.nan, np.inf, -np.inf]),
    "float32": np.array([0.1, -0.0, 1e-45, 1 / 3, 2.0**70, np.nan, np.inf, -np.inf], dtype=np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12.0).reshape(2, 6)[:, ::-2],
    "number": np.array(0.1),
    "zeros": np.zeros((2, 3, 4)),
    "zeros-with-signs": -np.zeros((2, 3, 4)),
    "zeros-fortran": np.asfortranarray(np.zeros((2, 3), dtype=np.float32)),
    "ones": np.ones((2, 3, 4), dtype=np.float32),
    "large": np.arange(3000.0).reshape(2, 1500),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_literals_are_exact(kind: str) -> None:
    """The script's own text gives the very same bits, in the same dtype and place in memory."""
    pair, found = of_relu("relu")
    call = found.small.call.with_x(SPECIAL[kind]).forward
    text = script(pair, replace(found.small, call=call))
    given: dict[str, Any] = {}
    names = {"load": lambda *arguments: None, "reproduce": lambda pair, **arguments: given.update(arguments)}
    body = "\n".join(line for line in text.splitlines() if "from crosscheck import" not in line)
    exec(compile(body, "script", "exec"), names)  # noqa: S102 - the text is ours
    assert given["x"].dtype == SPECIAL[kind].dtype
    assert given["x"].shape == SPECIAL[kind].shape
    assert given["x"].tobytes() == SPECIAL[kind].tobytes()
    assert (given["x"].flags.c_contiguous, given["x"].flags.f_contiguous) == (SPECIAL[kind].flags.c_contiguous, SPECIAL[kind].flags.f_contiguous)


def linear() -> crosscheck.Pair:
    layer = nn.Linear(3, 2)

    def forward(x: Array, w: Array, b: Array) -> Array:
        return np.asarray(x @ w.T + b)

    def backward(dout: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
        return dout @ w, dout.T @ x, dout.sum(axis=0)

    return crosscheck.Pair(crosscheck.Functions(forward, backward, cache=False), layer, [(4, 3)], {"w": "weight", "b": "bias"}, name="linear")


GIVEN: dict[str, Any] = {
    "quantity": "output",
    "x": np.ones((1, 3)),
    "params": {"weight": np.ones((2, 3)), "bias": np.ones(2)},
    "grad_output": np.array([[1.0, -2.0]]),
}


def test_right_layer_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        reproduce(linear(), **GIVEN)
    assert end.value.code == 0
    assert capsys.readouterr().out == "match: linear.output agrees with the reference\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": "scale.grad"}, "no quantity 'scale.grad'"),
        ({"params": {"weight": np.ones((2, 3))}}, "the parameters bias, weight, but the script gives weight"),
        ({"labels": np.zeros(1, dtype=int)}, "takes no labels"),
        ({"x": np.ones((1, 3), dtype=np.int64)}, "input is int64"),
        ({"x": np.ones((1, 4))}, "refuses an input of shape (1, 4)"),
        ({"x": np.full((1, 3), np.nan)}, "not finite"),
    ],
    ids=["quantity", "params", "labels", "dtype", "shape", "nan"],
)
def test_call_that_cannot_be_judged_ends_with_2(change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        reproduce(linear(), **{**GIVEN, **change})
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow("starts processes of its own; a script beside its file is the usual one", default=["beside-the-file"])
@pytest.mark.parametrize("folder", ["cases", ""], ids=["beside-a-report", "beside-the-file"])
def test_saved_script_finds_its_file_from_anywhere(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named as it was seen from the working directory, which may be another one later."""
    monkeypatch.chdir(tmp_path)
    path = write(reproduction_of("linear-row", tmp_path / "layers.py"), tmp_path / folder, "linear-row")
    (tmp_path / "elsewhere").mkdir()
    ended = run(path, tmp_path / "elsewhere")
    assert ended.returncode == 1, ended.stderr


def test_script_of_what_could_not_be_made_smaller_does_not_claim_it() -> None:
    pair, found = of_relu("relu")
    text = script(pair, replace(found.small, shrunk=()))
    assert "smallest" not in text
    assert "before it was made smaller" not in text
    assert "not possible" in text


class Rougher(Rough):
    """Off by more than the witness excuses."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * x.dtype.type(1 + (2.0**-20 if x.dtype == np.float32 else 0))


@pytest.mark.parametrize(("own", "ends"), [(1.0, 1), (20.0, 0)], ids=["as recorded", "another machine's"])
def test_script_hears_the_witness_of_where_the_fault_was_found(own: float, ends: int) -> None:
    pair = crosscheck.Pair(Rougher(), RoughReference(), shapes=[(2, 3)], dtypes=("float32",), name="rough")
    found = run_check(pair, next(check for check in checks_of(pair) if check.name == "values-float32-normal"), crosscheck.Settings()).reproduction
    assert isinstance(found, SmallCase)
    assert re.search(r"^    witness=np\.array\(", found.script, flags=re.MULTILINE)
    call = found.small.call
    witness = np.full(call.x.shape, own)
    with pytest.raises(SystemExit) as end:
        reproduce(pair, quantity="output", x=call.x, params=call.params, grad_output=call.grad_output, witness=witness * np.abs(call.x).max())
    assert end.value.code == ends


def test_script_saved_by_version_0_1_still_runs(tmp_path: Path) -> None:
    """Its imports name modules that have moved since."""
    file = tmp_path / "layers.py"
    found = reproduction_of("linear-row", file)
    old = found.script.replace("from crosscheck import", "from crosscheck.reproduction import")
    assert old != found.script
    old = old.replace("import numpy as np\n", "import numpy as np\nfrom crosscheck.families import arranged\n", 1)
    assert status(write(replace(found, script=old), tmp_path, "old")) == 1


@pytest.mark.slow("each fault is made small", default=["attention", "embedding with padding", "cross-entropy by name", "recurrence", "largest"])
@pytest.mark.parametrize("name", KINDS)
def test_script_of_several_inputs_tells_the_fault_from_its_repair(name: str, tmp_path: Path) -> None:
    """Attention, ids, masks, labels that are ignored, two outputs: the script names each array and ends with 1, and with 0 once it is repaired."""
    kind, declared = KINDS[name], tmp_path / "layers.py"
    pair = in_file(kind.pair(kind.wrong), declared)
    results = (run_check(pair, check, crosscheck.Settings()) for check in selection(pair).checks)
    found = next(result.reproduction for result in results if result.reproduction is not None)
    assert isinstance(found, SmallCase)
    assert found.small.quantity in kind.at
    assert found.elements <= kind.most
    path = write(found, tmp_path, "several")
    title = pair.title
    for which, expected in (("wrong", 1), ("right", 0)):
        own = f"PAIR = replace(KINDS[{name!r}].pair(KINDS[{name!r}].{which}), name={title!r})"
        declared.write_text(f"from dataclasses import replace\nfrom tests.support.ways_in import KINDS\n{own}\n")
        assert status(path) == expected
