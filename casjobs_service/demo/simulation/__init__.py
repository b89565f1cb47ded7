"""Making of `SimulationDB`: a small universe in the shape of the Millennium simulation's database."""
