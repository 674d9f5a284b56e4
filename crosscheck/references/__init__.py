"""References: one package for each framework, which turns its layers, networks and optimizers into oracles and is imported only when used."""
