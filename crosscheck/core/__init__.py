"""The nouns and the one verb: a call, an operation, a bound, a verdict, a trace, and how one layer is checked on one call."""

__version__ = "0.1.0"
