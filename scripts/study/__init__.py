"""Studies of the harness and of scratch: detection, PyTorch's test database, coverage, benchmark, explanations of edits."""
