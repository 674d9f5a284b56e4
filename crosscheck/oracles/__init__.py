"""Expected results, with bounds of their rounding errors, for operations, optimizers and networks."""
