"""Choose what a study measures with, before it is measured: the protocol, its folds, its search of learning rates."""
