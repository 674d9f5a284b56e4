"""What one side of a pair computed, kept in a file: so that a reference need not be installed where the subject runs.

A reference's trace holds inputs, results and tolerances; a subject's holds inputs, results and its contracts. Either way the file is safetensors,
which cannot hold code, with a description in its header.
"""
