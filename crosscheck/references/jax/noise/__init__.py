"""JAX with perturbed rounding: what each primitive rounds, for references whose rounding is measured."""
