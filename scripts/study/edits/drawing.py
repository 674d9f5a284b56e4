"""Draw random edits: first the layer, then the kind among those that it allows, then the place, then what stands there."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

import numpy as np

from study.edits.kinds import KINDS
from study.edits.tree import Path, line, replaced, sites, statement_of, tree_of

T = TypeVar("T")

HEAD = "import math\n\nimport numpy as np\n\n\n"
"""What the source of a layer needs before its class."""


@dataclass(frozen=True)
class Edit:
    """One edit of a layer's source."""

    layer: str
    kind: str
    method: str
    path: Path
    old: ast.AST
    new: ast.AST

    @property
    def name(self) -> str:
        """The layer, the kind, and a few letters that change with the edit."""
        text = f"{self.layer} {self.kind} {self.path} {ast.dump(self.old)} {ast.dump(self.new)}"
        return f"{self.layer}, {self.kind}, {hashlib.sha256(text.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Source:
    """A layer's class as a tree, and all edits that it allows, by kind and by place."""

    layer: str
    tree: ast.ClassDef
    edits: Mapping[str, Mapping[Path, Sequence[Edit]]]

    def edited(self, *edits: Edit) -> str:
        """Return the source of the class with edits, as a module."""
        tree = self.tree
        for edit in edits:
            tree = replaced(tree, edit.path, edit.new)
        return f"{HEAD}{ast.unparse(tree)}\n"

    def lines(self, edit: Edit) -> tuple[str, str]:
        """Return the line before and after an edit."""
        statement = statement_of(self.tree, edit.path)
        return line(self.tree, statement), line(replaced(self.tree, edit.path, edit.new), statement)

    def draw(self, rng: np.random.Generator) -> Edit:
        """Draw an edit."""
        kind = _one(rng, sorted(self.edits))
        place = _one(rng, sorted(self.edits[kind], key=str))
        return _one(rng, self.edits[kind][place])

    @cached_property
    def names(self) -> set[str]:
        """The names of all edits."""
        return {edit.name for places in self.edits.values() for edits in places.values() for edit in edits}


@cache
def source_of(name: str, layer: type) -> Source:
    """Return the source of a layer with all its edits."""
    tree = tree_of(layer)
    found: dict[str, dict[Path, list[Edit]]] = {}
    for edit in _edits(name, tree):
        found.setdefault(edit.kind, {}).setdefault(edit.path, []).append(edit)
    return Source(name, tree, found)


def _edits(name: str, tree: ast.ClassDef) -> Iterator[Edit]:
    for site in sites(tree):
        old = ast.dump(site.node)
        for kind, alternatives in KINDS.items():
            yield from (Edit(name, kind, site.method.name, site.path, site.node, new) for new in alternatives(site) if ast.dump(new) != old)


def draws(sources: Sequence[Source], count: int, seed: int) -> list[Edit]:
    """Draw edits, none of them twice; fewer than asked for if the layers allow no more."""
    rng, drawn, left = np.random.default_rng([seed, 0]), dict[str, Edit](), list(sources)
    taken = {source.layer: set[str]() for source in sources}
    while len(drawn) < count and left:
        source = _one(rng, left)
        edit = source.draw(rng)
        drawn.setdefault(edit.name, edit)
        taken[source.layer].add(edit.name)
        left = [source for source in left if len(taken[source.layer]) < len(source.names)]
    return list(drawn.values())


def two(source: Source, rng: np.random.Generator) -> tuple[Edit, Edit]:
    """Draw two edits of one layer, in places of which neither is part of the other."""
    while True:
        first, second = source.draw(rng), source.draw(rng)
        shorter, longer = sorted((first.path, second.path), key=len)
        if longer[: len(shorter)] != shorter:
            return first, second


def _one(rng: np.random.Generator, among: Sequence[T]) -> T:
    return among[int(rng.integers(len(among)))]
