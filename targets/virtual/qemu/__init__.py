"""An emulated Raspberry Pi: a real ARM Linux board in QEMU, for those who have none and for CI.

``recipe`` says what is in the image, ``image`` builds it, ``machine`` starts and ends it. What it cannot show: time,
power, clocks. See docs/boards/emulated-raspi3b.md.
"""

#: How long to wait for a login, s: a boot takes 40 to 100 s on an idle host with two cores. Stands here because the
#: command line shows it without importing what starts the machine.
BOOT_S = 600.0
