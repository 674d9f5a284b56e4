"""Training runs: subjects, options, checkpoints, printed lines, and the comparison with Keras' own loop."""
