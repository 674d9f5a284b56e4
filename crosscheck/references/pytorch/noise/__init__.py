"""PyTorch with randomly perturbed results, for references whose rounding errors are measured."""
