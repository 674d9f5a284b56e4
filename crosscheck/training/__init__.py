"""A whole training run beside references: each step proved link by link, the free run, several references as a jury."""
