"""What the study compares, what it aims at, and what was published."""

from __future__ import annotations

STUDY = "skip2-lora"
#: The method whose saving is the headline, and the one it is taken against.
CANDIDATE, REFERENCE = "skip2-lora", "lora-all"
#: Accuracy differences are taken of the candidate against these.
AGAINST = ("lora-all", "ft-all")

#: method -> its title, in the order of the publication's tables.
TITLES = {
    "ft-all": "FT-All",
    "ft-last": "FT-Last",
    "ft-bias": "FT-Bias",
    "ft-all-lora": "FT-All-LoRA",
    "lora-all": "LoRA-All",
    "lora-last": "LoRA-Last",
    "skip-lora": "Skip-LoRA",
    "skip2-lora": "Skip2-LoRA",
}

#: Accuracy is called equal within this many points.
AIM_POINTS = 1.5

#: Matsutani et al., ASP-DAC 2025, arXiv 2410.21073: fine-tuning time against LoRA-All, three data sets.
PUBLISHED_MEAN, PUBLISHED_LOW, PUBLISHED_HIGH = 0.90, 0.89, 0.92
PUBLISHED_SOURCE = "C on a Raspberry Pi Zero 2 W, Matsutani et al., ASP-DAC 2025"
PUBLISHED = f"published: 90.0% on average (89-92%), {PUBLISHED_SOURCE}"
