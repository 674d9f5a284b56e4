"""How laws are tried on drawn examples: few of them, the same ones in every run."""

from hypothesis import settings
from hypothesis import strategies as st

law = settings(derandomize=True, database=None, deadline=None, max_examples=25)

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
