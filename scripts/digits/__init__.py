"""MNIST: download, check and read its files, and yield its images in batches."""
