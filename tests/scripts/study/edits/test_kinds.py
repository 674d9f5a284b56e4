"""Edits of source: each kind is there and does what its name says, each edit is single, and the same seed draws the same edits."""

from __future__ import annotations

import ast
from collections import Counter

import numpy as np
import pytest
from study.edits.drawing import draws, source_of, two
from study.edits.kinds import KINDS
from study.edits.tree import node_at, replaced, tree_of

from tests.support.edited import LAYERS

SOURCES = {name: source_of(name, row.layer) for name, row in LAYERS.items()}

EXPECTED = {
    "operator": ("RNN", "da = dh * (1 + self.h[t + 1] ** 2)"),
    "sign": ("dense", "self.dW = -(self.x.T @ dout)"),
    "comparison": ("ReLU", "dx[self.x < 0] = 0"),
    "number": ("leaky ReLU", "slope[self.x <= 0] = 0.2"),
    "axis": ("softmax", "inner = np.sum(dout * self.p, axis=0, keepdims=True)"),
    "transposition": ("dense", "return dout @ self.W"),
    "left-out term": ("dense", "return x @ self.W"),
    "left-out factor": ("layer norm", "d = dout"),
    "left-out function": ("causal attention", "scores = scores"),
    "swapped operands": ("MSE", "self.error = target - pred"),
    "other variable": ("layer norm", "self.dgamma = (dout * dout).sum(axis=(0, 1))"),
    "= for +=": ("RNN", "dh = dh_next"),
    "index": ("RNN", "self.dW_h += da.T @ self.h[t + 1]"),
    "dropped statement": ("GRU", "pass"),
    "other function": ("Huber", "return loss.sum()"),
    "epsilon": ("layer norm", "self.std = np.sqrt(var) + eps"),
    "degrees of freedom": ("group norm", "var = grouped.var(axis=2, keepdims=True, ddof=1)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_occurs(kind: str) -> None:
    name, line = EXPECTED[kind]
    source = SOURCES[name]
    assert line in {source.lines(edit)[1] for edits in source.edits[kind].values() for edit in edits}


@pytest.mark.parametrize("name", LAYERS)
def test_edit_is_in_one_place(name: str) -> None:
    """With the old node put back, the edited tree is the old one, and its source is what the tree says."""
    source = SOURCES[name]
    whole = ast.dump(source.tree)
    for edit in draws([source], 15, 0):
        edited = replaced(source.tree, edit.path, edit.new)
        assert ast.dump(edited) != whole
        assert ast.dump(replaced(edited, edit.path, edit.old)) == whole
        assert ast.dump(node_at(source.tree, edit.path)) == ast.dump(edit.old)
        assert ast.dump(ast.parse(ast.unparse(edited)).body[0]) == ast.dump(edited)


def test_tree_of_the_class_is_not_changed() -> None:
    source = SOURCES["dense"]
    _ = [source.edited(edit) for edit in draws([source], 20, 0)]
    assert ast.dump(source.tree) == ast.dump(tree_of(LAYERS["dense"].layer))


def test_same_seed_draws_the_same_edits() -> None:
    sources = list(SOURCES.values())
    once, again, other = ([edit.name for edit in draws(sources, 100, seed)] for seed in (3, 3, 4))
    assert once == again != other
    assert len(set(once)) == 100
    assert draws(sources, 10, 3) == draws(sources, 100, 3)[:10]


def test_large_layer_does_not_count_more() -> None:
    drawn = Counter(edit.layer for edit in draws([SOURCES["dense"], SOURCES["LSTM"]], 40, 0))
    assert len(SOURCES["LSTM"].names) > 20 * len(SOURCES["dense"].names)
    assert drawn["dense"] >= 10


def test_no_edit_is_drawn_twice() -> None:
    """A small layer has no more edits at some point."""
    source = SOURCES["tanh"]
    assert {edit.name for edit in draws([source], 1000, 0)} == source.names


def test_two_edits_do_not_overlap() -> None:
    source, rng = SOURCES["tanh"], np.random.default_rng(0)
    for _ in range(20):
        first, second = two(source, rng)
        assert source.edited(first, second) == source.edited(second, first)
        assert source.edited(first, second) not in (source.edited(first), source.edited(second))


def test_variable_that_is_not_set_yet_replaces_no_other() -> None:
    source = SOURCES["softplus"]
    lines = {source.lines(edit)[1] for edits in source.edits["other variable"].values() for edit in edits}
    assert "small = np.exp(-np.abs(dout))" in lines
    assert "return p * p" in lines
    assert "small = np.exp(-np.abs(p))" not in lines


def test_initialisation_and_docstrings_stay() -> None:
    methods = {edit.method for source in SOURCES.values() for places in source.edits.values() for edits in places.values() for edit in edits}
    assert methods == {"forward", "backward", "im2col", "col2im", "sigmoid", "split", "merge"}
