"""How fast a device trains, fine-tunes and evaluates vision models of timm: what runs on the device itself.

It knows nothing of Flower or Ansible: a folder with a ``plan.json`` goes in, ``rows.jsonl`` comes out, a line a model.
Only modules that `measure` imports load torch, so that what watches over a measurement is small.
"""
