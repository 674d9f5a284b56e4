"""Compare a whole training run with references: each step link by link, the free run, and several references as a jury."""
