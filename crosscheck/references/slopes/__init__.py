"""No reference at all: gradients judged by difference quotients and complex steps of the subject itself."""
