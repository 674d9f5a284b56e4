"""Right layers in the naming styles of hand-written code, each beside its module of PyTorch, and the ways to make them wrong."""
