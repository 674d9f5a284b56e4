"""Gradients without a reference: expected values from difference quotients and complex steps of the subject's own output."""
