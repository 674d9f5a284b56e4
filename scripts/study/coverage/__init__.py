"""The coverage matrix: its rows, its cells, its pages."""
