"""Reports: the facts of one run as terminal text, as ``report.json`` and as ``report.html``.

Facts are collected once, as plain data, by :mod:`crosscheck.training.facts` and :mod:`crosscheck.checks.facts`; these modules show them.
"""
