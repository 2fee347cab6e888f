"""A fleet of virtual devices for tests and rehearsals: real SSH, real systemd, real faults.

`python tests/lab up` boots one; :class:`lab.lab.Lab` is the same for tests. README.md says how.
"""
