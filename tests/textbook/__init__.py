"""Layers, losses and optimizers as a textbook has them: right, plain, and cut into small methods in which a mistake can be planted.

They are nobody's product: nothing is fast here, nothing is clever, and nothing depends on ``scratch``, so that a fault planted in one of them stays
what it is whatever happens there. All arrays are ordered as PyTorch orders them; parameters lie in ``params``, their gradients in ``grads``.
"""
