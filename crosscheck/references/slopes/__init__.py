"""Check gradients without a reference: expected values come from finite differences and complex steps of the subject's output."""
