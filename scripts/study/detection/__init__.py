"""The study of the catalogue: which planted faults crosscheck and other rules detect, and false alarms on right code."""
