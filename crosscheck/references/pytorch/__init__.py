"""PyTorch as a reference: layers, networks and optimizers, and measurements of their rounding errors."""
