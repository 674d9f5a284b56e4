"""Right layers as a student writes them with NumPy alone. Each class is complete in itself, so that its source can be edited and run on its own."""
