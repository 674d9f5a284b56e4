"""Names in common use are known, whatever their case; names that only resemble them are not."""

from __future__ import annotations

import pytest

from crosscheck.adapters.naming import alike, gradient_names, is_statistic, same_statistic

ALIKE: dict[str, tuple[str, str, dict[str, str]]] = {
    "letters": ("W b", "weight bias", {"W": "weight", "b": "bias"}),
    "case": ("Kernel BIAS", "bias weight", {"Kernel": "weight", "BIAS": "bias"}),
    "norm": ("gamma beta", "weight bias", {"gamma": "weight", "beta": "bias"}),
    "unknown": ("p q", "weight bias", {}),
    "recurrent": ("W_ih Whh b_i bh", "weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0", {"W_ih": "weight_ih_l0", "Whh": "weight_hh_l0"}),
    "U-beside-W": ("W U", "weight_ih_l0 weight_hh_l0", {}),
    "attention": ("Wq W_k value_weight Wo", "q.weight k_proj.weight v.weight out_proj.weight", {"Wq": "q.weight", "W_k": "k_proj.weight"}),
    "order-of-numbers": ("W1 b1 W2 b2", "0.weight 0.bias 2.weight 2.bias", {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}),
    "numbers-from-zero": ("W1 W2 W3", "0.weight 1.weight 2.weight", {"W1": "0.weight", "W2": "1.weight", "W3": "2.weight"}),
    "nested": ("attention.W_q ln.gamma", "attn.q.weight norm.weight", {"attention.W_q": "attn.q.weight", "ln.gamma": "norm.weight"}),
    "two-of-one-kind": ("W V", "weight kernel", {}),
}


@pytest.mark.parametrize("case", ALIKE)
def test_alike(case: str) -> None:
    ours, theirs, expected = ALIKE[case]
    found = alike(ours.split(), theirs.split())
    assert found | expected == found
    assert bool(found) == bool(expected)


@pytest.mark.parametrize(("name", "other", "same"), [("bn.moving_mean", "running_mean", True), ("mean", "running_mean", False)])
def test_same_statistic(name: str, other: str, same: bool) -> None:
    assert same_statistic(name, other) is same
    assert is_statistic(other)


@pytest.mark.parametrize("gradient", ["dweight", "d_weight", "weight_grad", "grad_weight", "gradWeight", "gweight", "delta_weight", "weightGrad"])
def test_gradient(gradient: str) -> None:
    assert gradient in [name for _, name in gradient_names("weight")]
