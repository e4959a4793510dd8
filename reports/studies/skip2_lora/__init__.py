"""The Skip2-LoRA study: a published headline beside our own figures, told apart in every place.

Shown for runs whose plan says ``suite.study == "skip2-lora"``. Numbers are made in
:mod:`tunebench.reports.studies.skip2_lora.numbers`, sentences in
:mod:`tunebench.reports.studies.skip2_lora.sentences`, the page's parts in
:mod:`tunebench.reports.studies.skip2_lora.view`, the lines of the text table in
:mod:`tunebench.reports.studies.skip2_lora.text`.
"""

from __future__ import annotations

from tunebench.reports.studies.skip2_lora.model import Study
from tunebench.reports.studies.skip2_lora.numbers import study_block

__all__ = ["Study", "study_block"]
