"""The forward pass of a PyTorch reference as a graph of elementary steps: traced, then translated operation by operation."""
