"""Why an optimizer is wrong: known mistakes, edits of its rule, and gradients that are changed on their way to it."""
