"""An operation as a graph of elementary steps on NumPy arrays, so that it can be differentiated, edited and run without a framework."""
