"""Right implementations, different on purpose: what the harness must never take for wrong.

One module for each kind of layer, with the ways in which it can be computed; :mod:`tests.support.right_ways.task` judges them.
"""
