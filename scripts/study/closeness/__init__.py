"""The study of ``crosscheck.assert_close``: right code in float32 that adds up in another order than PyTorch, and faults of known size."""
