"""One run, three forms of the same facts: a terminal text, ``report.json``, ``report.html``.

The facts are collected once, in :mod:`crosscheck.training.facts`, as plain data; the other modules only show them.
"""
