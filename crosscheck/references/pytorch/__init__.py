"""PyTorch as a reference: layers, networks, optimizers, and the measurement of their rounding."""
