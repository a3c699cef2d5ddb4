"""Detection of formats by their bytes: one module for each method."""
