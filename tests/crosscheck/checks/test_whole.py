"""Twelve networks as people write them beside their twins in PyTorch: the right ones match, the wrong ones are found at their place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from crosscheck import Verdict
from crosscheck.checks.check import Settings
from crosscheck.checks.whole import WholeRun, comparison_of, predict_check
from crosscheck.run.check import PairResult
from tests.support.regression import ready_of
from tests.support.unshrunk import check
from tests.support.whole_models import gpt
from tests.support.whole_models.pairs import MODELS, pair_of

STEPS = "lockstep-float64"


@dataclass(frozen=True)
class Wrong:
    """What has to be found about a wrong network: the check, and layer and quantity of the first divergence."""

    model: str
    layer: str
    quantity: str
    check: str = STEPS
    of: dict[str, Any] = field(default_factory=dict)


WRONG = {
    "mlp, weights updated too early": Wrong("mlp", "0", "bias.grad"),
    "cnn, no mask in a ReLU": Wrong("cnn", "layers.1 (Activation_ReLU_Unmasked)", "grad_input"),
    "resnet, a gradient around the block forgotten": Wrong("resnet_block", "stem (Conv3x3)", "grad_output"),
    "lstm, no forget gate on the way back": Wrong("lstm_classifier", "lstm", "bias_ih_l0"),
    "gru, a square matrix transposed": Wrong("gru_tagger", "of_state.n", "weight.grad"),
    "embedding, repeated ids count once": Wrong("embedding_bag", "embedding", "weight"),
    "gpt, tied gradients overwrite": Wrong("gpt", "wte", "weight.grad"),
    "gpt, clipped one by one": Wrong("gpt", "wte", "weight.grad", of={"fault": "clip"}),
    "gpt, decay coupled": Wrong("gpt", "h.1.out", "weight", of={"fault": "decay"}),
    "gpt, schedule a step ahead": Wrong("gpt", "lnf", "bias", of={"fault": "schedule"}),
    "autoencoder, no correction of the second moment": Wrong("autoencoder", "6", "bias"),
    "siamese, one branch detached": Wrong("siamese", "encoder.4", "bias"),
    "batch norm, biased running variance": Wrong("batchnorm_net", "1", "running_var"),
    "batch norm, statistics of the batch in evaluation": Wrong(
        "batchnorm_net", "Sequential", "prediction", "predict-float64", of={"fault": "evaluation"}
    ),
    "accumulation, never cleared": Wrong("accumulation", "4", "bias.grad"),
    "one function, no mean": Wrong("one_function", "2", "bias"),
}


def failures(result: PairResult) -> list[tuple[str, str]]:
    """Return the checks that do not match, with their reasons."""
    return [(one.check, one.reason) for one in result.results if one.verdict not in (Verdict.MATCH, Verdict.SKIPPED)]


@pytest.mark.parametrize("name", MODELS)
def test_right(name: str) -> None:
    result = check(pair_of(name))
    assert (result.verdict, result.error) == (Verdict.MATCH, ""), failures(result)
    matched = {one.check for one in result.results if one.verdict is Verdict.MATCH}
    assert {f"lockstep-{dtype}" for dtype in MODELS[name][1].get("dtypes", ["float64", "float32"])} <= matched


@pytest.mark.slow(
    "the largest network takes seconds for each fault", default=[name for name, row in WRONG.items() if not row.of or row.model != "gpt"]
)
@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    row = WRONG[name]
    result = check(pair_of(row.model, wrong=True, of=row.of))
    first = result.first
    assert result.verdict is Verdict.MISMATCH
    assert first is not None
    assert first.divergence is not None
    place = first.divergence.judgement.place
    assert (first.check, place.layer, place.quantity) == (row.check, row.layer, row.quantity)


@pytest.mark.slow("the largest network once more; test_right has it without this bias")
def test_gradient_that_is_zero_but_for_rounding_is_no_mismatch() -> None:
    """The gradient of a bias of the keys is zero, and AdamW makes steps of whole size of what rounding leaves of it."""
    pair = pair_of("gpt", of={"qkv_bias": True})
    object.__setattr__(pair, "reference", gpt.torch_model(qkv_bias=True))
    result = check(pair)
    assert result.verdict is Verdict.MATCH, failures(result)


def test_predictions_after_steps_that_did_not_end_are_left_out() -> None:
    ready = ready_of()
    ready.runs["float64", 0] = WholeRun(comparison_of(ready, "float64", 0))
    result = predict_check("float64").run(ready, Settings(seed=0))
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "does not apply: the training steps were not compared to their end")
