"""Twelve small hand-written NumPy networks, each with its PyTorch twin and one planted fault."""
