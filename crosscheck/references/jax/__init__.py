"""JAX as a reference."""
