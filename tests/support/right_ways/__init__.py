"""Right implementations, different on purpose, which the harness must never call wrong.

There is one module for each kind of layer, with several ways to compute it; :mod:`tests.support.right_ways.task` judges them.
"""
