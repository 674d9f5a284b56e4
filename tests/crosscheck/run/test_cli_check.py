"""The command: what it prints, writes, refuses and returns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crosscheck.causes.variants.explain import Explainer
from crosscheck.checks import checks_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Oracle
from crosscheck.run.cli import main
from tests.support import plain
from tests.support.command import declare, facts, recorded_both

CHECKS = len(checks_of(plain.pair()))


def test_right_layer_agrees(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "PAIR = pair()")
    assert main(["check", "pairs.py"]) == 0
    out = capsys.readouterr().out
    assert f"MATCH: rounding explains every difference of Scale; {CHECKS} checks, 144 quantities compared, 5 checks do not apply" in out


WARNED = "contract-backward_uses_the_mode_of_forward: float64: changed by switching to evaluation mode between forward and backward: grad_input"


def test_warning_leaves_verdict_and_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in the first line and below its pair; the page names it, and so do the facts."""
    declare(folder, "PAIR = pair(ReadsItsMode)")
    assert main(["check", "pairs.py", "--json", "r.json", "--html", "r.html"]) == 0
    lines = capsys.readouterr().out.split("\n")
    (headline,) = [line for line in lines if line.startswith("MATCH: rounding explains every difference of ReadsItsMode; ")]
    assert headline.endswith(" do not apply, 1 warning")
    assert any(line.split() == ["warning", *WARNED.split()] for line in lines)
    (warning,) = [check for check in facts(folder)["pairs"][0]["checks"] if check["warning"]]
    assert (warning["verdict"], warning["counts_as"], facts(folder)["warnings"]) == ("mismatch", "match", 1)
    page = (folder / "r.html").read_text()
    assert '<td>backward uses the mode of forward</td><td class="undecided">warning</td>' in page
    assert f"<dt>warning</dt><dd>{WARNED}</dd>" in page


def test_strict_lets_a_warning_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "PAIR = pair(ReadsItsMode)")
    assert main(["check", "pairs.py", "--strict"]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH: 1 of 1 pair differs: ReadsItsMode" in out
    assert "crosscheck check pairs.py --strict --only ReadsItsMode/contract-backward_uses_the_mode_of_forward" in out
    assert "warning" not in out


NO_STEPS = "the reference cannot be taken apart into steps"


@pytest.mark.parametrize(
    ("options", "seconds"), [([], [10.0]), (["--explain", "2.5"], [2.5]), (["--explain", "0"], [])], ids=["default", "short", "known mistakes alone"]
)
def test_time_for_explanations_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], seconds: list[float]) -> None:
    """The report says why a search found nothing; a reference in NumPy has no steps."""
    given: list[float] = []
    made = Explainer.__init__

    def watched(self: Explainer, oracle: Oracle, seconds: float) -> None:
        given.append(seconds)
        made(self, oracle, seconds)

    monkeypatch.setattr(Explainer, "__init__", watched)
    declare(folder, "PAIR = pair(Cubed)")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--no-shrink", "--json", "r.json", *options]) == 1
    assert given[:1] == seconds
    (check,) = facts(folder)["pairs"][0]["checks"]
    assert check["first_divergence"]["cause"] == "unknown"
    assert (NO_STEPS in check["first_divergence"]["cause_in_words"]) == bool(seconds)


def test_recorded_reference_has_no_steps_and_says_so(folder: Path) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    declare(folder, "PAIR = crosscheck.Pair(Cubed(), crosscheck.recorded('r.safetensors'), shapes=[(4, 3), (1, 3)], name='Scale')")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--no-shrink", "--json", "r.json"]) == 1
    (check,) = facts(folder)["pairs"][0]["checks"]
    assert NO_STEPS in check["first_divergence"]["cause_in_words"]


@pytest.mark.parametrize("given", ["-1", "soon", "nan"])
def test_time_for_explanations_is_a_number(folder: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    declare(folder, "PAIR = pair()")
    with pytest.raises(SystemExit) as ended:
        main(["check", "pairs.py", "--explain", given])
    assert ended.value.code == 2
    assert "--explain" in capsys.readouterr().err


def test_expected_difference_is_no_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "PAIR = pair(ReadsItsMode, expected={'contract-backward_uses_the_mode_of_forward': 'of no use'})")
    assert main(["check", "pairs.py", "--only", "contract-*"]) == 0
    out = capsys.readouterr().out
    assert "1 check is expected to differ" in out
    assert "warning" not in out


def test_difference_that_is_no_longer_there_is_no_warning(folder: Path) -> None:
    declare(
        folder, "class Kept(Scale):\n    training = True\nPAIR = pair(Kept, expected={'contract-backward_uses_the_mode_of_forward': 'of no use'})"
    )
    assert main(["check", "pairs.py", "--only", "contract-*"]) == 1


def test_wrong_layer_differs_with_place_cause_and_script(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "PAIRS = [pair(), pair(Negated)]")
    assert main(["check", "pairs.py"]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH: 1 of 2 pairs differs: Negated" in out
    assert "Negated.weight.grad (tested alone)" in out
    assert "Negated.backward" in out
    assert "has the wrong sign" in out
    assert "crosscheck check pairs.py --only Negated/values-float64-normal" in out
    assert "a small case that shows it, as a script" in out


def test_how_to_reproduce_does_reproduce(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line that a report gives runs just that check, and finds the same."""
    declare(folder, "PAIRS = [pair(), pair(Negated)]")
    main(["check", "pairs.py", "--json", "r.json", "--seed", "5"])
    wrong = next(check for check in facts(folder)["pairs"][1]["checks"] if check["verdict"] == "mismatch")
    line = wrong["reproduce"].split()
    assert line[0] == "crosscheck"
    assert main([*line[1:], "--json", "r.json"]) == 1
    again = facts(folder)["pairs"]
    assert [pair["name"] for pair in again] == ["Negated"]
    assert [check["quantities"] for check in again[0]["checks"]] == [wrong["quantities"]]


def test_reports_are_written_with_small_cases_beside_them(folder: Path) -> None:
    declare(folder, "PAIR = pair(Negated)")
    assert main(["check", "pairs.py", "--json", "r.json", "--html", "r.html"]) == 1
    small = facts(folder)["pairs"][0]["checks"][0]["small_case"]
    assert (folder / small["file"]).read_text() == small["script"]
    assert (folder / "r.html").read_text().startswith("<!doctype html>")
    assert subprocess.run([sys.executable, small["file"]], cwd=folder, check=False, capture_output=True).returncode == 1  # noqa: S603 - written here


@pytest.mark.parametrize(
    ("patterns", "checks"),
    [
        (["Scale"], CHECKS),
        (["values-float64-*"], 2 * len(FAMILIES)),
        (["other/contract-dtype_is_kept"], 1),
        (["Scale/values-*-ties", "other/values-*-ties"], 4),
    ],
    ids=["pair", "check", "both", "two"],
)
def test_only(folder: Path, patterns: list[str], checks: int) -> None:
    declare(folder, "PAIRS = [pair(), pair(name='other')]")
    assert main(["check", "pairs.py", "--json", "r.json", *(word for pattern in patterns for word in ("--only", pattern))]) == 0
    found = facts(folder)
    assert found["checks_done"] == found["checks_requested"] == checks
    assert found["checks_deselected"] == len(found["pairs"]) * CHECKS - checks


def test_list_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "PAIR = pair(Negated)")
    assert main(["check", "pairs.py", "--list", "--dtype", "float32"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert "Negated/values-float32-normal" in lines
    assert "Negated/values-float64-normal" not in lines


@pytest.mark.parametrize(
    ("declaration", "status", "headline"),
    [
        ("PAIR = pair(dtypes=('float64',))", 0, f"{len(FAMILIES) + 5} checks do not apply"),
        ("PAIR = pair(params={'W': 'weight'})", 2, "UNDECIDED: no mismatch, but not everything could be judged; 1 could not be checked: Scale"),
        ("PAIR = pair(expected={'values-*': 'known'})", 1, "MISMATCH: 1 of 1 pair differs: Scale"),
        ("PAIR = pair(Negated, expected={'values-*': 'known'})", 2, "NOT CHECKED: nothing was compared"),
        (
            "PAIRS = [pair(WritesToInput), pair(params={'W': 'weight'})]",
            1,
            "MISMATCH: 1 of 2 pairs differs: WritesToInput; 1 could not be checked: Scale",
        ),
    ],
    ids=["half", "not-ready", "expected-agrees", "expected-differs", "both"],
)
def test_headline_and_status(folder: Path, declaration: str, status: int, headline: str) -> None:
    declare(folder, declaration)
    assert main(["check", "pairs.py", "--json", "r.json"]) == status
    assert headline in facts(folder)["headline"]


ODD = """
class Odd(Scale):
    def __getattr__(self, name):
        raise KeyError(name)
"""
WRONG_ONES = {
    "setting": ("", "pair(ties='second', name='odd')", "UNDECIDED  odd  ties is 'second', expected 'first', 'last', 'all' or 'split'"),
    "inputs": ("", "pair(inputs=['x'], name='odd')", "UNDECIDED  odd  inputs is a list, expected a dict"),
    "attributes": (ODD, "pair(Odd, name='odd')", "UNDECIDED  odd  cannot be prepared: KeyError: "),
    "attributes of one without a name": (ODD, "pair(Odd)", "UNDECIDED  Odd  cannot be prepared: KeyError: "),
}


@pytest.mark.parametrize("only", [(), ("--only", "[oO]dd", "--only", "Scale")], ids=["all", "only"])
@pytest.mark.parametrize("name", WRONG_ONES)
def test_one_wrong_declaration_leaves_the_others(folder: Path, capsys: pytest.CaptureFixture[str], name: str, only: tuple[str, ...]) -> None:
    before, wrong, line = WRONG_ONES[name]
    declare(folder, f"{before}\nPAIRS = [{wrong}, pair()]")
    assert main(["check", "pairs.py", *only]) == 2
    out = capsys.readouterr().out
    assert line in out
    assert f"MATCH     Scale  {CHECKS} checks" in out or f"MATCH  Scale  {CHECKS} checks" in out


def test_layer_without_parameters_may_keep_empty_lists(folder: Path) -> None:
    declare(
        folder,
        """
class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out
    def backward(self, grad):
        return grad * (1 - self.out) * self.out
import crosscheck, torch
PAIR = crosscheck.Pair(Sigmoid(), torch.nn.Sigmoid(), [(4, 5)])
""",
    )
    assert main(["check", "pairs.py"]) == 0


def test_interrupted_run_reports_what_it_has(folder: Path) -> None:
    declare(
        folder,
        """
class Interrupts(Scale):
    def forward(self, x):
        if x.dtype == np.float32:
            raise KeyboardInterrupt
        return super().forward(x)
PAIR = pair(Interrupts)
""",
    )
    assert main(["check", "pairs.py", "--json", "r.json"]) == 2
    assert facts(folder)["headline"].startswith(f"UNDECIDED: interrupted after {len(FAMILIES)} of {CHECKS} checks")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["check", "missing.py"], "missing.py: no such file"),
        (["check", "empty.py"], "empty.py: declares no pair"),
        (
            ["check", "pairs.py", "--only", "nothing*"],
            "'nothing*' matches no pair and no check; the pairs are Scale; the checks are",
        ),
        (["check", "pairs.py", "--only", "values-float32-*", "--dtype", "float64"], "no check is left to run"),
        (["check", "pairs.py", "--json", "r.txt"], "r.txt: the name has to end in .json"),
        (["check", "pairs.py", "--html", "nowhere/r.html"], "nowhere/r.html: there is no folder nowhere"),
        (["check", "pairs.py", "--html", "."], ".: the name has to end in .html"),
        (["check", "pairs.py", "--html", "r.json"], "r.json: the name has to end in .html"),
        (["check", "pairs.py", "--json", "blocked.json"], "blocked-small-cases: is a file, but the small cases of blocked.json need a folder"),
        (["check", "pairs.py", "twin.py"], "two of the files declare a pair called 'Scale'"),
        (["check", "broken.py"], "importing it raised ZeroDivisionError: division by zero (broken.py:2"),
    ],
    ids=lambda value: "-".join(value[1:]).replace("/", "_") if isinstance(value, list) else "error",
)
def test_refused(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    declare(folder, "PAIR = pair()")
    declare(folder, "PAIR = pair()", "twin.py")
    declare(folder, "", "empty.py")
    declare(folder, "1 / 0", "broken.py")
    (folder / "blocked-small-cases").touch()
    before = sorted(folder.iterdir())
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("crosscheck: ")
    assert error in captured.err
    assert len(captured.err.strip().split("\n")) == 1
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before


@pytest.mark.parametrize(
    "option",
    [["--seed", "-1"], ["--timeout", "x"], ["--timeout", "1e300"], ["--timeout", "nan"], ["--dtype", "float16"], []],
    ids=["seed", "timeout", "timer-overflow", "no-time", "dtype", "no-file"],
)
def test_wrong_usage(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *(["pairs.py"] if option else []), *option])
    assert ended.value.code == 2
    assert "usage: crosscheck check" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "taught"), [([], "crosscheck check FILE.py"), (["check"], "PAIRS = [Pair("), (["trace"], "--side"), (["compare"], "SUBJECT")]
)
def test_help_teaches(command: list[str], taught: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert taught in capsys.readouterr().out


def test_help_imports_no_framework_and_nothing_that_it_does_not_need() -> None:
    """Asking for help loads neither a framework nor what only a run uses."""
    code = (
        "import sys; from crosscheck.run.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'matplotlib', 'rich', 'jinja2', 'hypothesis') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert result.stdout.strip().split("\n")[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("crosscheck 0.")


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: crosscheck" in capsys.readouterr().out


def test_unexpected_error_is_one_line_and_no_difference(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that Python handles ends a program with 1, which here means that something differs."""

    def fails(*arguments: object) -> None:
        raise RuntimeError("two\nlines\x1b")

    monkeypatch.setattr("crosscheck.run.cli_check.collect", fails)
    declare(folder, "PAIR = pair()")
    assert main(["check", "pairs.py"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("crosscheck: stopped by an unforeseen error: RuntimeError: two lines")
    assert "test_cli_check.py:" in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_command_on_a_nasty_pair(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, f"PAIR = pair(Negated, name={plain.NASTY!r})")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--json", "r.json", "--html", "r.html"]) == 1
    assert not {"\x1b", "\x00", "\ud800"} & set(capsys.readouterr().out)
    pair = facts(folder)["pairs"][0]
    assert pair["name"] == plain.SHOWN
    assert Path(pair["checks"][0]["small_case"]["file"]).is_file()


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("contract-minus_infinity_is_no_nan", "contract-handles_minus_infinity"),
        ("Scale/values-float64-norml", "values-float64-normal"),
        ("Scala", "Scale"),
        ("scale", "Scale"),
        ("SCALA", "Scale"),
    ],
)
def test_name_that_is_not_there_gets_the_nearest(folder: Path, capsys: pytest.CaptureFixture[str], asked: str, nearest: str) -> None:
    declare(folder, "PAIR = pair()")
    assert main(["check", "pairs.py", "--only", asked]) == 2
    assert f"{asked!r} matches no pair and no check; did you mean {nearest!r}? the pairs are Scale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("empty.py", "", "empty.py: declares no pair; expected a Pair, an OptimizerPair or a ModelPair", id="empty"),
        pytest.param("plain.py", "x = [1]", "plain.py: declares no pair", id="no pairs"),
        pytest.param("needs.py", "import not_installed_framework", "install not_installed_framework, or if only the reference", id="framework"),
        pytest.param("folder", None, "folder: is a folder", id="folder"),
    ],
)
def test_file_without_pairs_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, found: str) -> None:
    if text is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_text(text, encoding="utf-8")
    assert main(["check", name]) == 2
    errors = capsys.readouterr().err
    assert found in errors
    assert errors.count("\n") == 1
