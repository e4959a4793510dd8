"""tunebench: a hardware-in-the-loop benchmark harness for on-device fine-tuning."""
