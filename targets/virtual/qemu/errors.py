"""What can go wrong with an emulated board.

::

    EmulationError          building or booting failed: the message names the log
    +-- MissingError        something is not there that the user can provide: packages, root, the image
    +-- InUseError          a board of that name is up, and is another than asked for
"""

from __future__ import annotations

from tunebench.targets.errors import TargetError


class EmulationError(TargetError):
    """The image cannot be built or the board does not come up."""


class MissingError(EmulationError):
    """Something is missing that the user can provide; the message says how."""


class InUseError(EmulationError):
    """A board of that name is up already, as another machine or on another port."""
