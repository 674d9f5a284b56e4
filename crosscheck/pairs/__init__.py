"""What a user declares, found in a file and made ready: a layer, an optimizer or a model, and what to compare it with."""
