"""What PyTorch, JAX, Keras and scratch answer to each convention, for ``scripts/measure_conventions.py``."""
