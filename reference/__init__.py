"""The layers and networks of scratch in reference frameworks, with copied weights: one module per framework."""
