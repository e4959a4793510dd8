"""The fine-tuning methods: one declarative table, and what a row means for a network.

A row of :mod:`~tunebench.workloads.methods.table` says which weights and biases train, where adapters start and
end, and whether activations are cached. Engines read a plan (a row applied to a model); nothing else knows a
method's name. A new method is one row.
"""
