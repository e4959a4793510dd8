"""What is to be learnt: the spec of a workload, its task, and the metrics of its quality."""
