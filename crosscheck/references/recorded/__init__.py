"""Trace files: what one side of a pair computed, so that the reference's framework need not be installed where the subject runs.

A reference's trace holds inputs, results and tolerances; a subject's trace holds inputs, results and the verdicts of contracts. The format is
safetensors, which cannot contain code, with a JSON description in the header.
"""
