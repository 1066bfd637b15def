"""The Determinant (thesis ch. 3.3): from logged metrics to scores, and from scores to the chosen trial."""
