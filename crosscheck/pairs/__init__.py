"""Pairs: what a user declares (a layer, an optimizer or a model, and its reference), loaded from a file and prepared for the checks."""
