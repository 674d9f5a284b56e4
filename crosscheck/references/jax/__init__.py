"""JAX as a reference: functions, networks, optax optimizers, and the measurement of their rounding."""
