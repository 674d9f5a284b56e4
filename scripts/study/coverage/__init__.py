"""The coverage matrix: its rows, what is measured of each, its page."""
