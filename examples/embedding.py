"""In the style of a language model's first layer: ``(batch, time)`` ids pick rows of a table; ids have no gradient, the table has.

Run it: ``crosscheck check examples/embedding.py``. The gradients of rows that are picked twice add up. Ids that repeat are needed to see where they
do not, and the harness draws them.
"""

import numpy as np


def embedding_forward(ids, table):
    """Return a row of the table for each id."""
    return table[ids], (ids, table.shape)


def embedding_backward(dout, cache):
    """Return the gradient of the table: the sum over all places where a row was picked."""
    ids, shape = cache
    dtable = np.zeros(shape, dout.dtype)
    np.add.at(dtable, ids, dout)
    return dtable


def embedding_backward_last_one(dout, cache):
    """Add in place with ``+=``, which sees each id once."""
    ids, shape = cache
    dtable = np.zeros(shape, dout.dtype)
    dtable[ids] += dout
    return dtable


def embedding_backward_padding(dout, cache):
    """Return the gradient of the table; id 0 stands for padding, whose row is not trained."""
    dtable = embedding_backward(dout, cache)
    dtable[0] = 0
    return dtable


def embedding_forward_no_padding(ids, table):
    """Return zeros for padding, whatever its row holds."""
    out, cache = embedding_forward(ids, table)
    out[ids == 0] = 0
    return out, cache


# --- adapting ---
from torch import nn

from crosscheck import Functions, Integers, Pair

PLAIN, PADDED = nn.Embedding(11, 5), nn.Embedding(11, 5, padding_idx=0)
SAME = {"inputs": {"ids": Integers("batch time", below=11)}, "sizes": {"batch": 3, "time": 6}, "params": {"table": "weight"}}
PAIRS = [
    Pair(Functions(embedding_forward, embedding_backward), PLAIN, name="embedding", **SAME),
    Pair(Functions(embedding_forward, embedding_backward_last_one), PLAIN, name="embedding (wrong: ids that repeat count once)", **SAME),
    Pair(Functions(embedding_forward, embedding_backward_padding), PADDED, name="with padding", **SAME),
    Pair(Functions(embedding_forward, embedding_backward), PADDED, name="with padding (wrong: its row has a gradient)", **SAME),
    Pair(
        Functions(embedding_forward_no_padding, embedding_backward_padding), PADDED, name="with padding (wrong: its row is taken for zeros)", **SAME
    ),
]
# --- end ---
