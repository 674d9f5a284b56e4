"""Keras 3 on JAX as a reference. Keras reads the name of its backend only once, when it is imported, so it is set here, before that."""

import os
import sys

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"
