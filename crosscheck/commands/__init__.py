"""What the commands do, one module each with a function ``run(options, arguments)`` that returns the exit status."""
