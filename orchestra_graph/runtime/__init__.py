"""Driving runs: the engine, and everything between the pure core and the world."""
