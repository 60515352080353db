"""Frey Face for TensorFlow Datasets; importing the builder's module registers it."""
