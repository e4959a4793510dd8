"""What the study compares, what it aims at, and what was published."""

from __future__ import annotations

STUDY = "skip2-lora"
#: The method whose saving is the headline, and the one it is taken against.
CANDIDATE, REFERENCE = "skip2-lora", "lora-all"
#: Accuracy differences are taken of the candidate against these.
AGAINST = ("lora-all", "ft-all")

#: The methods, in the order of the publication's tables. Tables call a method as suites do, everywhere.
METHODS = (
    "ft-all",
    "ft-last",
    "ft-bias",
    "ft-all-lora",
    "lora-all",
    "lora-last",
    "skip-lora",
    "skip2-lora",
)

#: Accuracy is called equal within this many points.
AIM_POINTS = 1.5

#: Matsutani et al., ASP-DAC 2025, arXiv 2410.21073: fine-tuning time against LoRA-All, three data sets.
PUBLISHED_MEAN, PUBLISHED_LOW, PUBLISHED_HIGH = 0.90, 0.89, 0.92
PUBLISHED_SOURCE = "C on a Raspberry Pi Zero 2 W, Matsutani et al., ASP-DAC 2025"
PUBLISHED = f"published: 90.0% on average (89-92%), {PUBLISHED_SOURCE}"
