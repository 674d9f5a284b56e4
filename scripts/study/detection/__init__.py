"""The parts of ``scripts/detection.py``: how many planted faults are seen, placed and explained, by whom else, and what right code is accused of."""
