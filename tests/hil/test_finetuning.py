"""The suite of tunebench.harness.hil, in the folder where a checkout runs it."""

from tunebench.harness.hil.test_finetuning import test_fine_tuning_adapts_the_model_to_the_drift

__all__ = ["test_fine_tuning_adapts_the_model_to_the_drift"]
