"""Real faults against real campaigns: what breaks a lab, at random moments, and what is left of the measurement.

``python -m tests.faults`` prints the matrix; ``python -m tests.faults soak`` breaks four boards for minutes on end.

One run of one fault is a *scene*: a board behind OpenSSH's server and a relay (:mod:`tests.faults.site`), the command
``tunebench run --resume`` as a process of its own (:mod:`tests.faults.host`), a fault that strikes once
(:mod:`tests.faults.kinds`), and an account of what came of it (:mod:`tests.faults.accounting`).
"""
