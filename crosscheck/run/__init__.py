"""Running checks: from the command line, pytest or a program, and from recorded traces."""
