"""The cost of checking code: lines, seconds, and the size of small cases."""
