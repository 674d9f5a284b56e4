"""The examples do what they say: what is right matches, what is wrong is found at its place and, where that is known, with its cause."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from crosscheck import Pair, PairResult, Verdict
from tests.support import ROOT
from tests.support.unshrunk import check

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ADAPTING = 15
"""Lines that a convention may take to adapt, imports included."""


@dataclass(frozen=True)
class Wrong:
    """What has to be found about a wrong version: the check and quantity of the first mismatch, its cause if any hypothesis explains it."""

    check: str
    quantity: str | None
    cause: str | None = None


NORMAL, STEPS = "values-float64-normal", "lockstep-float64"
LAYER = {NORMAL, "values-float32-digits", "contract-inputs_are_left_alone"}
MODEL = {STEPS, "lockstep-float32", "freerun-float64", "freerun-float32", "contract-batch_is_left_alone"}
NETWORK = {STEPS, "lockstep-float32", "predict-float64", "predict-float32", "contract-smaller_batch_works"}
WRONG = {
    "accumulating_nhwc-conv (wrong: the border is lost)": Wrong(NORMAL, "grad_input", "border lost"),
    "accumulating_nhwc-conv (wrong: the bias of one row)": Wrong(NORMAL, "bias.grad"),
    "accumulating_nhwc-dense (wrong: flattened channel by channel)": Wrong(NORMAL, "output", "flatten order"),
    "argmax-rows (wrong: the last of those that tie)": Wrong("values-float64-ties", "output"),
    "argmax-pixels (wrong: the classes are elsewhere)": Wrong(NORMAL, "output"),
    "article-conv (wrong: only the last region's gradient is kept)": Wrong(NORMAL, "weight.grad", "overwritten"),
    "article-pool (wrong: every maximum of a window gets its gradient)": Wrong("values-float64-digits", "grad_input", "tie rule: all"),
    "attention-attention (wrong: scaled by dim, not by its root)": Wrong(NORMAL, "output", "edit: number"),
    "attention-attention (wrong: softmax over the queries)": Wrong(NORMAL, "output", "edit: unit axes"),
    "attention-attention (wrong: float32 becomes float64)": Wrong("values-float32-normal", "output", "array without dtype"),
    "attention-attention (wrong: the gradient of a sigmoid)": Wrong(NORMAL, "grad_input.q", "edit: not reduced"),
    "attention_masks-causal (wrong: masked after the softmax)": Wrong(NORMAL, "output", "edit: mask late"),
    "attention_masks-causal (wrong: one key of the future is seen)": Wrong(NORMAL, "output"),
    "attention_masks-padding (wrong: its score is 0)": Wrong(NORMAL, "output"),
    "attention_masks-padding (wrong: NaN where all is padding)": Wrong("special-float64-a-row-of-mask-completely-hidden", "output"),
    "attributes-affine (wrong: W is not transposed on the way back)": Wrong(NORMAL, "grad_input", "transposed"),
    "attributes-affine (wrong: gradients pile up unasked)": Wrong("contract-same_call_same_answer", None),
    "attributes-relu (wrong: the mask is the gradient's sign)": Wrong(NORMAL, "grad_input", "mask of the wrong array"),
    "convolutions-conv1d (wrong: no dilation on the way back)": Wrong(NORMAL, "grad_input"),
    "convolutions-conv3d (wrong: overlapping windows do not add up)": Wrong(NORMAL, "grad_input"),
    "convolutions-transposed (wrong: extra rows come first)": Wrong(NORMAL, "output", "edit: moved"),
    "convolutions-transposed (wrong: flipped on the way back)": Wrong(NORMAL, "grad_input", "kernel flipped"),
    "cross_entropy-class weights (wrong: divided by the batch size)": Wrong(NORMAL, "output"),
    "cross_entropy-ignored labels (wrong: counted in the mean)": Wrong("special-float64-some-labels-ignored", "output", "edit: number of terms"),
    "cross_entropy-smoothing (wrong: the gradient is not smoothed)": Wrong(NORMAL, "grad_input", "edit: operand"),
    "cross_entropy-over time (wrong: flattened before the classes are moved)": Wrong(NORMAL, "output", "edit: reshaped"),
    "embedding-embedding (wrong: ids that repeat count once)": Wrong(NORMAL, "weight.grad", "edit: overwritten"),
    "embedding-with padding (wrong: its row has a gradient)": Wrong(NORMAL, "weight.grad", "edit: always"),
    "embedding-with padding (wrong: its row is taken for zeros)": Wrong(NORMAL, "output", "edit: fill"),
    "functions_with_cache-conv (wrong: no stride on the way back)": Wrong(NORMAL, "grad_input", "stride ignored"),
    "functions_with_cache-relu (wrong: the derivative at zero is 1)": Wrong("values-float64-ties", "grad_input", "derivative at zero"),
    "functions_with_cache-softmax loss (wrong: exponentials overflow)": Wrong("values-float64-wide", "output", "exponential overflows"),
    "losses-mse (wrong: the gradient of another mean)": Wrong(NORMAL, "grad_input", "edit: number"),
    "losses-bce (wrong: a small number in the logarithm)": Wrong(NORMAL, "output"),
    "losses-huber (wrong: delta forgotten in the gradient)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "losses-kl (wrong: a mean over the classes)": Wrong(NORMAL, "output", "edit: number"),
    "multi_head_attention-attention (wrong: heads are slices of the memory)": Wrong(NORMAL, "output", "edit: reshaped"),
    "multi_head_attention-attention (wrong: the scale of all heads together)": Wrong(NORMAL, "output", "edit: number"),
    "multi_head_attention-attention (wrong: not scaled on the way back)": Wrong(NORMAL, "grad_input.query", "constant factor"),
    "multi_head_attention-attention (wrong: gradients of key and value swapped)": Wrong(NORMAL, "grad_input.key"),
    "normalization-layer norm (wrong: the variance divides by n - 1)": Wrong(NORMAL, "output", "edit: less"),
    "normalization-layer norm (wrong: gamma forgotten on the way back)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "normalization-layer norm (wrong: statistics taken for constants)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "normalization-group norm (wrong: every other channel in a group)": Wrong(NORMAL, "output"),
    "normalization-rms norm (wrong: a sum where the mean belongs)": Wrong(NORMAL, "grad_input", "edit: sum"),
    "one_sample_functions-conv (wrong: the kernel is flipped)": Wrong(NORMAL, "output", "kernel flipped"),
    "one_sample_functions-dense (wrong: the sign)": Wrong(NORMAL, "weight.grad", "edit: sign"),
    "one_sample_functions-loss (wrong: labels counted from one)": Wrong(NORMAL, "output", "label off by one"),
    "params_grads_dicts-linear (wrong: the gradient is averaged twice)": Wrong(NORMAL, "weight.grad", "edit: divided"),
    "params_grads_dicts-linear (wrong: the bias is not added)": Wrong(NORMAL, "output", "bias left out"),
    "params_grads_dicts-cross-entropy (wrong: the gradient of the sum)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "recurrent-lstm (wrong: gates in another order on the way back)": Wrong(NORMAL, "grad_input"),
    "recurrent-lstm (wrong: the initial state gets no gradient)": Wrong(NORMAL, "grad_input.h_0", "not computed"),
    "recurrent-lstm (wrong: the gradient of the last cell is ignored)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "recurrent-gru (wrong: reset before the product)": Wrong(NORMAL, "output"),
    "recurrent-gru (wrong: z and 1 - z swapped on the way back)": Wrong(NORMAL, "grad_input", "edit: complement"),
    "train_step-step (wrong: sum for mean)": Wrong(STEPS, "weight", "constant factor"),
    "train_step-step (wrong: kernel forgotten)": Wrong(STEPS, "weight", "not updated"),
    "train_step-step (wrong: velocity averaged)": Wrong(STEPS, "weight", "constant factor"),
    "transformer_block-block (wrong: normalized after the sum)": Wrong(NORMAL, "output"),
    "transformer_block-block (wrong: no gradient past the attention)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "transformer_block-block (wrong: GELU's gate taken for a constant)": Wrong(NORMAL, "grad_input", "edit: left out"),
    "whole_network-network (wrong: means)": Wrong(STEPS, "bias", "bias correction left out"),
    "whole_network-network (wrong: ReLU backward)": Wrong(STEPS, "grad_input"),
    "whole_network-network (wrong: no bias)": Wrong(STEPS, "output"),
}


@cache
def pairs_of(path: Path) -> dict[str, Pair]:
    """Return the pairs of an example by the example's and their own names."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {f"{path.stem}-{pair.name}": pair for pair in module.PAIRS}


PAIRS = {name: pair for path in EXAMPLES for name, pair in pairs_of(path).items()}


@cache
def result_of(name: str) -> PairResult:
    """Return what was found about a pair."""
    return check(PAIRS[name])


def imported(path: Path) -> set[str]:
    """Return the packages that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def by_stem(path: Any) -> str:
    """Return how an example is called in ids."""
    return str(path.stem)


@pytest.mark.parametrize("name", [name for name in PAIRS if "wrong" not in name])
def test_right(name: str) -> None:
    """Every check that applies matches; values were compared in both precisions."""
    result = result_of(name)
    assert result.verdict is Verdict.MATCH, [(r.check, r.reason) for r in result.results if r.verdict is not Verdict.MATCH]
    matched = {r.check for r in result.results if r.verdict is Verdict.MATCH}
    assert (LAYER if isinstance(PAIRS[name], Pair) else MODEL if getattr(PAIRS[name], "in_layers", False) else NETWORK) <= matched


def test_every_wrong_version_has_its_row() -> None:
    assert set(WRONG) == {name for name in PAIRS if "wrong" in name}


@pytest.mark.slow(
    "each is checked as a whole; the rows show every file",
    default=[
        "article-pool (wrong: every maximum of a window gets its gradient)",
        "attributes-relu (wrong: the mask is the gradient's sign)",
        "attributes-affine (wrong: gradients pile up unasked)",
        "functions_with_cache-relu (wrong: the derivative at zero is 1)",
        "functions_with_cache-softmax loss (wrong: exponentials overflow)",
        "one_sample_functions-dense (wrong: the sign)",
        "params_grads_dicts-linear (wrong: the bias is not added)",
        "accumulating_nhwc-dense (wrong: flattened channel by channel)",
        "train_step-step (wrong: sum for mean)",
        "argmax-rows (wrong: the last of those that tie)",
        "attention_masks-padding (wrong: NaN where all is padding)",
        "convolutions-transposed (wrong: extra rows come first)",
        "cross_entropy-ignored labels (wrong: counted in the mean)",
        "embedding-embedding (wrong: ids that repeat count once)",
        "losses-bce (wrong: a small number in the logarithm)",
        "multi_head_attention-attention (wrong: gradients of key and value swapped)",
        "normalization-layer norm (wrong: gamma forgotten on the way back)",
        "recurrent-lstm (wrong: the initial state gets no gradient)",
        "transformer_block-block (wrong: no gradient past the attention)",
    ],
)
@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    """The first mismatch is where the mistake is, with the line of the code and the cause."""
    result, row = result_of(name), WRONG[name]
    assert result.verdict is Verdict.MISMATCH
    first = result.first
    assert first is not None
    assert first.check == row.check
    if row.quantity is None:
        assert first.reason
        return
    assert first.divergence is not None
    assert first.divergence.judgement.place.quantity == row.quantity
    assert first.divergence.source.partition(":")[0] == f"examples/{name.partition('-')[0]}.py"
    cause = first.divergence.cause
    assert (cause.name if cause else None) == row.cause


@pytest.mark.parametrize("path", EXAMPLES, ids=by_stem)
def test_has_right_and_wrong_versions(path: Path) -> None:
    names = [name for name in PAIRS if name.startswith(f"{path.stem}-")]
    assert any("wrong" in name for name in names)
    assert any("wrong" not in name for name in names)


@pytest.mark.parametrize("path", EXAMPLES, ids=by_stem)
def test_adapting_is_short(path: Path) -> None:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    adapting = [line for line in lines[lines.index("# --- adapting ---") + 1 : lines.index("# --- end ---")] if line]
    assert any(line.startswith("PAIRS") for line in adapting)
    assert len(adapting) <= ADAPTING


@pytest.mark.parametrize("path", EXAMPLES, ids=by_stem)
def test_torch_is_the_only_framework(path: Path) -> None:
    assert imported(path) - sys.stdlib_module_names == {"crosscheck", "numpy", "torch"}


@pytest.mark.slow("each starts a process; what an example says is shown by test_right and test_wrong", default=["article"])
@pytest.mark.parametrize("path", EXAMPLES, ids=by_stem)
def test_runs_anywhere(path: Path, tmp_path: Path) -> None:
    """An example needs nothing beside it: it is imported from another working directory, in an interpreter of its own."""
    code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); print(len(runpy.run_path({str(path)!r})['PAIRS']))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own interpreter
    assert (result.returncode, result.stdout.strip()) == (0, str(len(pairs_of(path)))), result.stderr
