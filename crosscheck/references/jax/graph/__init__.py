"""The forward pass of a JAX reference as a graph of elementary steps: traced, translated primitive by primitive, and written as people write it."""
