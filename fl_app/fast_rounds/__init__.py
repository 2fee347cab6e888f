"""Rounds without the wait: Flower's own processes, protocol and security, without the pauses between them.

Beside the app and not in it: it serves every Flower app. docs/fast-rounds.md says how it works; each seam has a file.
"""
