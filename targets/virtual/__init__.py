"""Boards for those who have none: this machine over SSH, and a Raspberry Pi in QEMU."""
