"""PyTorch with perturbed rounding: what each operation rounds, for references whose rounding is measured."""
