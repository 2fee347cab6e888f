"""Federated image classification with Flower, PyTorch or TensorFlow."""
