"""One small module a framework: how its modules become operations, and how it trains. None is imported unless asked for."""
