"""Analyses of the project's own source: tolerances, imports, calls between modules, messages."""
