"""A failing call made small, and written as a script that runs on its own."""
