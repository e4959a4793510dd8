"""Number the pretraining bases: base k is the network pretrained with seed k; some are for tests, some for choosing.

A learning rate that was chosen on the weights it is then measured on is too good. So those of development
(:mod:`tunebench.harness.study.protocol`) stand apart, and no suite measures on them.
"""

#: Bases from this number on are for choosing; those below it are for suites.
FIRST_DEVELOPMENT_BASE = 100
