"""Tune the learning rate while training: a PyTorch Lightning callback with Bayesian optimisation."""
