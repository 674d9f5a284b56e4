"""What it costs to have code checked."""
