"""JAX with perturbed rounding, for references whose rounding is measured."""
