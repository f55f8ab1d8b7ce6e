"""The traditional way: find the star whose simulated spectrum explains a noisy one best."""
