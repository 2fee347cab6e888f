"""A fleet of virtual devices for tests and rehearsals: real SSH, real systemd, real faults.

`python -m tests.lab up` boots one; :class:`tests.lab.lab.Lab` is the same for tests. README.md says how.
"""
