"""Adapters from the conventions of hand-written code to the harness's own: layers become functions, training steps become traces."""
