"""The code of ``scripts/benchmark.py``: measurements, targets, facts and pages."""
