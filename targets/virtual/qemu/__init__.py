"""An emulated Raspberry Pi: a real ARM Linux board in QEMU, for those who have none and for CI.

``recipe`` says what is in the image, ``image`` builds it, ``machine`` starts and ends it. What it cannot show: time,
power, clocks. See docs/boards/emulated-raspi3b.md.
"""
