"""Runs of training: subjects, options, checkpoints, what is printed, and the comparison with Keras' own loop."""
