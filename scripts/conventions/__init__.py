"""The conventions that PyTorch, JAX, Keras and scratch follow, as measured by ``scripts/measure_conventions.py``."""
