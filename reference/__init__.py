"""The architecture of the scratch networks in reference frameworks, weights copied: one module a framework."""
