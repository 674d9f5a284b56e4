"""Scripts of small cases: a small call that shows a fault, with its numbers written out, to run again while you look for the mistake."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from crosscheck.causes.divergence import Divergence, divergence_facts
from crosscheck.checks.check import FailingCall, Reproduction, Settings
from crosscheck.checks.values import judged
from crosscheck.core.files import shown
from crosscheck.core.guard import SubjectError, TimeLimitError, contained, time_limit
from crosscheck.core.inputs import memory_of
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import DTYPES, INPUT, OUTPUT, Call, PairError
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.load import LoadingError, find
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepared import Prepared
from crosscheck.report.words import laid_out, rows
from crosscheck.shrinking.shrink import SECONDS, Small, shrink

STILL_THERE, GONE, NOT_CHECKED = 1, 0, 2
"""The exit statuses of a script."""

_WIDTH = 120

_FEW = 4
"""The most zeros or ones that are written out one by one."""


@dataclass(frozen=True)
class SmallCase(Reproduction):
    """A script and the small call in it."""

    small: Small


def reproduction(prepared: Prepared, given: FailingCall, divergence: Divergence, settings: Settings) -> SmallCase:
    """Return the smallest case found of a fault, with its script."""
    seconds = min(SECONDS, settings.timeout or SECONDS)
    small = shrink(prepared, given, divergence, settings.seed, seconds)
    witness = judged(prepared, small.call.copied(), given.dtype)[0].witness.get(given.quantity)
    elements = sum(value.size for value in small.call.arguments().values()) if small.call.order else small.call.x.size
    return SmallCase(script(prepared.pair, small, given.evaluation, witness), elements, small)


def script(pair: Declaration, small: Small, evaluation: bool = False, witness: Array | None = None) -> str:
    """Return a Python program that judges one call and exits with 1 if the fault is there, 0 if it is gone, 2 if it cannot be judged."""
    call = small.call
    short = list(call.inputs) == [INPUT] and call.outputs == (OUTPUT,) and not call.order
    arguments = [f"    quantity={small.quantity!r},", *([_assigned("    x=", call.x)] if short else [])]
    groups = {} if short else {"inputs": call.inputs, "constants": call.constants, "grad_outputs": call.cotangents}
    for argument, arrays in {**groups, "params": call.params, "buffers": call.buffers}.items():
        if arrays:
            arguments += [f"    {argument}={{", *(_assigned(f"        {name!r}: ", value) for name, value in arrays.items()), "    },"]
    if call.grad_output is not None and short:
        arguments.append(_assigned("    grad_output=", call.grad_output))
    arguments += [_assigned(f"    {name}=", value) for name, value in call.constants.items() if short]
    arguments += [] if witness is None else [_assigned("    witness=", witness)]
    arguments += ["    evaluation=True,"] if evaluation else []
    strided = any(memory_of(array) == "strided" for array in (*call.inputs.values(), *call.cotangents.values()))
    imports = ["from crosscheck.core.inputs import arranged"] if strided else []
    imports += [f"from crosscheck import {'load, ' if pair.origin else ''}reproduce"]
    missing = ["# The pair was not declared in a file: insert it here, as crosscheck.Pair(...).", "pair = None"]
    source = [f"pair = load({shown(pair.origin)!r}, {pair.title!r})"] if pair.origin else missing
    lines = ['"""' + _docstring(pair, small), '"""', "", "import numpy as np", "", *imports, "", *source, "", "reproduce(", "    pair,"]
    return "\n".join([*lines, *arguments, ")", ""])


def _docstring(pair: Declaration, small: Small) -> str:
    """Return the fault in words, escaped for a docstring."""
    heading = f"{pair.title}: {small.quantity} differs from the reference{'; this is the smallest case found' if small.shrunk else ''}."
    facts = [*rows(divergence_facts(small.divergence, "")), ("made smaller", "; ".join(small.shrunk) or "not possible")]
    if small.divergence.cause is not None and small.shrunk:
        facts.append(("", "the likely cause was found on the original case, before it was made smaller"))
    facts.append(("exit status", "1 while the fault is there, 0 when it is gone, 2 if it could not be checked"))
    lines = [*textwrap.wrap(heading, _WIDTH), ""]
    for name, text in facts:
        lines += textwrap.wrap(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=" " * 14, break_long_words=False)
    text = "\n".join(line.rstrip() for line in lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    escaped = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return f"\\{escaped}" if escaped.startswith("\n") else escaped


def _assigned(before: str, array: npt.NDArray[Any]) -> str:
    """Return Python code that makes an array with exactly the same numbers and memory order."""
    memory = memory_of(array)
    before += "arranged(" if memory == "strided" else ""
    settings = f"dtype=np.{'bool_' if array.dtype.kind == 'b' else array.dtype.name}" + (", order='F'" if memory == "F" else "")
    code = f"{before}{_numbers(array, len(before))}, {settings})"
    return f"{code}, 'strided')," if memory == "strided" else f"{code},"


def _numbers(array: npt.NDArray[Any], column: int) -> str:
    """Return the beginning of a NumPy call that makes an array, without its last arguments. ``column`` is where the call starts in its line."""
    for make, same in (("np.zeros", np.zeros_like(array)), ("np.ones", np.ones_like(array))):
        # Compare bits, because a zero may have a sign.
        if array.ndim and array.size > _FEW and array.tobytes() == same.tobytes():
            return f"{make}({array.shape}"
    formatter: Any = {"float_kind": lambda value: _number(value, array.dtype), "int_kind": str}
    text = np.array2string(array, max_line_width=_WIDTH, separator=", ", threshold=array.size + 1, formatter=formatter)
    return "np.array(" + re.sub(r"\n+", "\n" + " " * (column + len("np.array(")), text)


def _number(value: Any, dtype: np.dtype[Any]) -> str:
    """Return the shortest code for exactly this number."""
    if not np.isfinite(value):
        return "np.nan" if np.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    short = str(value)
    exact = repr(float(value))
    return short if len(short) < len(exact) and dtype.type(float(short)) == value else exact


def load(path: str, title: str) -> Declaration:
    """Load a script's pair from the file that declares the pair.

    Parameters
    ----------
    path : str
        Relative to the working directory, to the script's folder or to the folder above it: scripts are saved in a folder beside a report and may be
        run from anywhere.

    Raises
    ------
    SystemExit
        With 2 and a message, if there is no such pair.
    """
    folder = Path(sys.argv[0]).resolve().parent
    places = [Path(path), folder / path, folder.parent / path]
    try:
        return find(next((place for place in places if place.is_file()), places[0]), title)
    except LoadingError as error:
        _end(NOT_CHECKED, f"not checked: {error}")


def reproduce(  # noqa: PLR0913 - a script names each array
    pair: Declaration | None,
    *,
    quantity: str,
    x: Array | None = None,
    params: Mapping[str, Array] | None = None,
    grad_output: Array | None = None,
    labels: npt.NDArray[Any] | None = None,
    buffers: Mapping[str, Array] | None = None,
    evaluation: bool = False,
    witness: Array | None = None,
    inputs: Mapping[str, Array] | None = None,
    constants: Mapping[str, npt.NDArray[Any]] | None = None,
    grad_outputs: Mapping[str, Array] | None = None,
) -> NoReturn:
    """Judge one quantity of one call, print the result, and exit.

    Parameters
    ----------
    quantity : str
        ``"output"``, ``"grad_input"`` or ``"NAME.grad"``.
    x : array, optional
        The only input, in the reference's layout and the precision to check.
    params : mapping of str to array
        By the reference's names and in its layout.
    grad_output : array
        The upstream gradient.
    labels : array, optional
        The labels of a loss.
    buffers : mapping of str to array
        The running statistics before the call, by the reference's names.
    evaluation : bool
        Whether to judge in evaluation mode.
    witness : array, optional
        The errors of the reference when it computes in the subject's precision, in unit roundoffs, as measured where the fault was found. They
        depend on the machine; without them, they are measured again.
    inputs, constants, grad_outputs : mapping of str to array, optional
        Instead of ``x``, ``labels`` and ``grad_output``, if there are several inputs or outputs: inputs with a gradient and without one by name, and
        upstream gradients by output.

    Raises
    ------
    SystemExit
        With 1 if the fault is there, 0 if it is gone, 2 if it could not be checked.
    """
    given_inputs = inputs if x is None else {INPUT: x}
    fixed = {**({} if labels is None else {"labels": labels}), **(constants or {})}
    try:
        with contained("the check"), time_limit(Settings().timeout):
            call = Call(given_inputs or {}, params, grad_outputs if grad_output is None else grad_output, fixed, buffers)
            prepared = _ready(pair, call, evaluation)
            call = replace(call, order=prepared.order, outputs=prepared.outputs)
            status, text = _judged(prepared, call, quantity, witness)
    except PairError as error:
        status, text = NOT_CHECKED, f"not checked: {error}"
    except SubjectError as error:
        # ``contained`` also wraps errors of the pair.
        cause = error.__cause__
        status, text = NOT_CHECKED, f"not checked: {cause if isinstance(cause, PairError) else error.reason}"
    except TimeLimitError:
        status, text = NOT_CHECKED, f"not checked: it did not end within {Settings().timeout:g} s"
    _end(status, text)


def _ready(pair: Declaration | None, call: Call, evaluation: bool) -> Prepared:
    """Return the prepared pair; raise :class:`PairError` if the call does not fit the pair."""
    if not isinstance(pair, Pair):
        raise PairError(f"the pair is {pair!r}, expected a crosscheck.Pair; insert the pair into the script")
    prepared = prepare(pair)
    if not prepared.references:
        raise pair.error("has no reference to compare with")
    for what, names, own in (("parameters", call.params, prepared.param_shapes), ("running statistics", call.buffers, prepared.buffers)):
        if sorted(names) != sorted(own):
            given, expected = (", ".join(sorted(each)) or "none" for each in (names, own))
            raise pair.error(f"has the {what} {expected}, but the script gives {given}; it was made for another version of the pair")
    if not prepared.order and prepared.labels != ("labels" in call.constants):
        raise pair.error("takes labels, but the script has none" if prepared.labels else "takes no labels, but the script has some")
    arguments = [*call.inputs, *call.constants]
    if sorted(arguments) != sorted(prepared.order or arguments) or not arguments:
        wanted, named = (", ".join(names) or "one input x" for names in (prepared.order, arguments))
        raise pair.error(f"has the inputs {wanted}, but the script gives {named}; it was made for another version of the pair")
    if wrong := [f"{name} is {value.dtype}" for name, value in call.inputs.items() if value.dtype.name not in DTYPES]:
        raise pair.error(f"{wrong[0]}, expected {' or '.join(DTYPES)}")
    if evaluation and prepared.no_evaluation:
        raise pair.error(f"cannot be judged in evaluation mode: {prepared.no_evaluation}")
    return prepared.evaluating if evaluation else prepared


def _judged(prepared: Prepared, call: Call, quantity: str, witness: Array | None) -> tuple[int, str]:
    """Return the exit status of a script, and its message."""
    recorded = None if witness is None else {quantity: witness}
    found = {judgement.place.quantity: judgement for judgement in judged(prepared, call, call.dtype.name, recorded)[1]}
    if quantity not in found:
        raise prepared.pair.error(f"has no quantity {quantity!r}; its quantities are {', '.join(found)}")
    judgement = found[quantity]
    if judgement.verdict is Verdict.MATCH:
        return GONE, f"match: {prepared.pair.title}.{quantity} agrees with the reference"
    if judgement.verdict is Verdict.MISMATCH:
        divergence = Divergence(judgement, None, prepared.layer.sources.get(quantity, ""))
        # Without the likely cause, which cannot be found from so few numbers.
        known = [(name, text) for name, text in rows(divergence_facts(divergence, "")) if name != "likely cause"]
        return STILL_THERE, laid_out(judgement.verdict.upper(), known)
    return NOT_CHECKED, f"{judgement.verdict}: {prepared.pair.title}.{quantity}: {judgement.reason}"


def _end(status: int, text: str) -> NoReturn:
    """Exit with a status and a message; the message goes to standard error if nothing was checked."""
    stream = sys.stderr if status == NOT_CHECKED else sys.stdout
    stream.write(text.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8") + "\n")
    stream.flush()
    raise SystemExit(status)
