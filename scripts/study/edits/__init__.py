"""The study of explanations: random edits of the source of right layers, and what the checks say about them."""
