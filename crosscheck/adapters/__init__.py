"""Adapters for the usual conventions of hand-written code: they turn its layers into functions and its training steps into traces."""
