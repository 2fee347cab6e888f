"""Federated image classification with Flower and PyTorch."""
