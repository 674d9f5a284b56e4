"""Conventions of hand-written code, each turned into the harness's own: layers as functions, training steps as traces."""
