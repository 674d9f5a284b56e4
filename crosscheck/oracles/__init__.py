"""What is right, and how far rounding may lead away from it: error theories of operations, of optimizers and of networks of them."""
