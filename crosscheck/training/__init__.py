"""Compare a whole training run with references: each step by itself, a reference that trains independently, and several references as a jury."""
