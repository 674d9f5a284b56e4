"""Trace files: recorded results of a subject or a reference, so that the two may run on different machines.

A reference's trace holds inputs, results and tolerances; a subject's trace holds inputs, results and the verdicts of contracts. The format is
safetensors, which cannot contain code, with a JSON description in the header.
"""
