"""Every differentiable module of ``torch.nn``: a table of cases, PyTorch's own kernels as subjects, and versions of many of them in NumPy."""
