"""Keras 3 on JAX as a reference."""
