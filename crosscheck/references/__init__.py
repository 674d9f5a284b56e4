"""References: one package for each framework turns its layers, networks and optimizers into oracles; it is imported only when used."""
