"""The parts of ``scripts/benchmark.py``: what is measured, targets, facts and pages."""
