"""One run, three forms of the same facts: a terminal text, ``report.json``, ``report.html``.

Facts are collected once, as plain data, by :mod:`crosscheck.training.facts` and :mod:`crosscheck.checks.facts`; these modules show them.
"""
