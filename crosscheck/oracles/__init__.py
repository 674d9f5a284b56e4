"""Expected results and the bounds of their rounding errors: for operations, for optimizers and for networks."""
