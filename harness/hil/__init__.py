"""The pytest suite that runs against an inventory; it ships in the wheel."""
