"""The basic concepts (a call, an operation, a bound, a verdict, a trace) and the check of one layer on one call."""

__version__ = "0.1.0"
