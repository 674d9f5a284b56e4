"""MNIST: its files checked, read and fetched, and its images in batches."""
