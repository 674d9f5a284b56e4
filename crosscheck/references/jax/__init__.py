"""JAX as a reference: functions, networks and optax optimizers, and measurements of their rounding errors."""
