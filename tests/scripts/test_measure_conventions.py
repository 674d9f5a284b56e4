"""The page of conventions is what is measured now, planted answers are called by their names, and what is no answer is unknown."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conventions import answers as convention_answers
from conventions import page as pages
from conventions.answers import QUESTIONS, UNKNOWN, Distribution, Measured, Probe, moments
from conventions.page import FRAMEWORKS, PAGE, find, page, probes_of, rows
from measure_conventions import main

from crosscheck.causes.conventions import CONVENTIONS, OF_CAUSES

ANSWERS = [(convention, name) for convention, question in QUESTIONS.items() for name in question.answers]
FIRST, LAST = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)


@cache
def sections() -> dict[str, str]:
    """Return the committed page's sections by the convention's name."""
    name_and_text = re.split(r"^### (\S+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(name_and_text[::2], name_and_text[1::2], strict=True))


@pytest.mark.each_choice("framework", "convention")
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_page_is_what_is_measured(framework: str, convention: str) -> None:
    """A framework's rows are those of its probes, none more, and each answer has a name."""
    calls = probes_of(framework).PROBES.get(convention, {})
    findings = [find(convention, framework, call, probe) for call, probe in calls.items()]
    assert UNKNOWN not in {finding.answer for finding in findings}
    assert [line for line in sections()[convention].splitlines() if line.startswith(f"| {framework} |")] == list(rows(findings))


def test_page_has_no_section_of_its_own() -> None:
    assert list(sections()) == list(CONVENTIONS) == list(QUESTIONS)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_probe_is_of_a_convention(framework: str) -> None:
    assert set(probes_of(framework).PROBES) <= set(CONVENTIONS)


@pytest.mark.parametrize("convention", [*CONVENTIONS, *OF_CAUSES.values()])
def test_names_are_kebab_case(convention: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", convention)
    assert convention in CONVENTIONS


def planted(expected: Measured | Distribution) -> Measured:
    """Return what a probe would find under an answer."""
    if not isinstance(expected, Distribution):
        return expected
    rng, wide = np.random.default_rng(7), 4 * expected.deviation
    drawn = rng.uniform(-wide, wide, 2_000_000) if expected.shape == "uniform" else rng.standard_normal(20_000)
    if expected.shape == "truncated normal":
        drawn = drawn[np.abs(drawn) < 2]
    return moments(drawn[:15_000] * (expected.deviation / drawn.std()))


@pytest.mark.parametrize(("convention", "name"), ANSWERS, ids=[f"{convention}-{name}" for convention, name in ANSWERS])
def test_planted_answer_is_called_by_its_name(convention: str, name: str) -> None:
    """Whatever the framework answers today: the other answer would be seen."""
    measured = planted(QUESTIONS[convention].answers[name])
    assert find(convention, "planted", "probe", lambda: measured).answer == name


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    "measured", [(0.123,), (), "else", moments(np.array([3.0, -3.0]))], ids=["numbers", "no numbers", "a word", "moments of nothing random"]
)
def test_no_answer_is_unknown(convention: str, measured: Measured) -> None:
    assert find(convention, "planted", "probe", lambda: measured).answer == UNKNOWN


def raising(error: Exception) -> Probe:
    """Return a probe that meets an error."""

    def probe() -> Measured:
        raise error

    return probe


def test_error_is_measured_by_its_kind() -> None:
    """Where refusing is an answer it is one; another error is unknown, and what it says is kept."""
    assert find("same-with-stride", "planted", "probe", raising(ValueError("no stride"))).answer == "refuses"
    found = find("same-with-stride", "planted", "probe", raising(AttributeError("no conv\nat all")))
    assert (found.answer, found.measured, found.error) == (UNKNOWN, "AttributeError", "no conv")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=["interrupt", "memory"])
def test_error_of_the_machine_is_no_measurement(error: Exception) -> None:
    with pytest.raises(type(error)):
        find("same-with-stride", "planted", "probe", raising(error))


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets every framework answer to the tie rule of pooling as it is told."""

    def planting(*measured: float) -> None:
        module = SimpleNamespace(VERSION="planted 1", PROBES={"max-pool-ties": {"pool": lambda: measured}})
        monkeypatch.setattr(pages, "probes_of", lambda framework: module)

    return planting


class TestCommand:
    """What the script says and returns."""

    def test_written_page_is_right(self, plant: Any, tmp_path: Path) -> None:
        plant(*FIRST)
        path = tmp_path / "page.md"
        assert main(["--page", str(path)]) == 0
        assert main(["--page", str(path), "--check"]) == 0
        assert "| JAX | `pool` | first | 1, 0, 0, 0 |" in path.read_text()

    def test_page_with_another_answer_is_not(self, plant: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It is left as it is, and what differs is shown."""
        plant(*FIRST)
        path = tmp_path / "page.md"
        main(["--page", str(path)])
        before = path.read_text()
        plant(*LAST)
        assert main(["--page", str(path), "--check"]) == 1
        output = capsys.readouterr().out
        assert "-| JAX | `pool` | first | 1, 0, 0, 0 |" in output
        assert "+| JAX | `pool` | last | 0, 0, 0, 1 |" in output
        assert path.read_text() == before

    def test_page_measured_with_other_versions_is_right(self, plant: Any, tmp_path: Path) -> None:
        plant(*FIRST)
        path = tmp_path / "page.md"
        main(["--page", str(path)])
        path.write_text(path.read_text().replace("planted 1", "planted 2"))
        assert main(["--page", str(path), "--check"]) == 0

    @pytest.mark.parametrize("check", [False, True], ids=["write", "check"])
    def test_unknown_is_said(self, check: bool, plant: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It stands on the page as unknown, and no such page passes."""
        plant(0.5, 0.5, 0.0, 0.0)
        path = tmp_path / "page.md"
        main(["--page", str(path)])
        assert "| JAX | `pool` | unknown | 0.5, 0.5, 0, 0 |" in path.read_text()
        assert main(["--page", str(path), *["--check"] * check]) == 1
        assert "max-pool-ties: Keras, pool: unknown answer 0.5, 0.5, 0, 0; add its meaning to" in capsys.readouterr().err

    def test_no_page(self, plant: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plant(*FIRST)
        assert main(["--page", str(tmp_path / "none.md"), "--check"]) == 1
        assert "there is no page" in capsys.readouterr().out

    def test_page_that_cannot_be_written(self, plant: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plant(*FIRST)
        assert main(["--page", str(tmp_path / "no folder" / "page.md")]) == 2
        assert "no folder" in capsys.readouterr().err

    def test_framework_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setitem(FRAMEWORKS, "PyTorch", "conventions.in_nothing")
        assert main(["--page", str(tmp_path / "page.md")]) == 2
        assert "PyTorch cannot be imported (No module named 'conventions.in_nothing'); pip install" in capsys.readouterr().err


@pytest.mark.parametrize(("keras", "heading"), [(FIRST, "## Where they agree"), (LAST, "## Where they differ")], ids=["alike", "apart"])
def test_overviews_tell_agreement_from_difference(keras: Measured, heading: str) -> None:
    """One framework of three with another answer makes it a difference; what scratch does makes none."""
    answers = {"PyTorch": FIRST, "JAX": FIRST, "Keras": keras, "scratch": LAST}
    findings = [find("max-pool-ties", framework, "pool", partial(planted, measured)) for framework, measured in answers.items()]
    text = page(findings, ["planted"])
    assert re.findall(r"^## .*", text[: text.index("[max-pool-ties]")], flags=re.MULTILINE)[-1] == heading


@pytest.mark.parametrize("shape", ["uniform", "normal", "truncated normal"])
def test_another_deviation_is_another_distribution(shape: str) -> None:
    """Ten standard errors off it is no more that distribution."""
    honest = Distribution(shape, 1.0)
    sample = planted(honest)
    assert isinstance(sample, convention_answers.Moments)
    question = convention_answers.Question("moments", {"wide": Distribution(shape, 1.0 + 2 * sample.error), "honest": honest})
    assert convention_answers.answer(question, sample) == "honest"
