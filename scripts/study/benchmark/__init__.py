"""The parts of ``scripts/benchmark.py``: what is measured, each part in a process of its own, and what is made of the figures."""
