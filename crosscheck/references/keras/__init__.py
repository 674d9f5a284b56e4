"""Keras 3 on JAX as a reference: layers, networks and optimizers."""
