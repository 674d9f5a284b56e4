"""The study of detection on PyTorch's own test database, OpInfo."""
