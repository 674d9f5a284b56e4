"""Who runs checks: the command line, pytest, a program, a trace file."""
