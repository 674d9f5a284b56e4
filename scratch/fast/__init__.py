"""Fast kernels for the layers of :mod:`scratch`: the same mathematics, with an eye to threads, memory and caches."""
