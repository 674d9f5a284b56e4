"""PyTorch as a reference."""
