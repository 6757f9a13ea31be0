"""Film -> batch: sources, the prepared dataset, fitted features, batches. NumPy only, no jax."""
