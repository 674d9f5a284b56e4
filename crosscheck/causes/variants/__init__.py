"""Causes found by editing the reference: its graph of steps is changed at one place, until it computes the numbers that your code returned."""
