"""What is read from the project's own source text: tolerances, imports, calls, messages."""
