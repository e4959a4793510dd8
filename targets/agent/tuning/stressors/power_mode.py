"""A power mode of a Jetson around a workload: chosen by name, tried once before anything is measured, put back."""

from typing import Optional

from tunebench.targets.agent.job.stress import Figures, StressError
from tunebench.targets.agent.tuning.jetson import PowerMode, modes
from tunebench.targets.agent.tuning.stressors.kind import Key, Kind, Params, Place
from tunebench.targets.agent.tuning.stressors.operation import OperationStressor, not_permitted
from tunebench.targets.agent.tuning.system import System
from tunebench.targets.agent.tuning.undo import UndoList


class HeldPowerMode(OperationStressor):
    """A power mode, read back from nvpmodel."""

    def __init__(self, params: Params, place: Place) -> None:
        self._mode = str(params["mode"])
        super().__init__(PowerMode(), {"power_mode": self._mode}, place)

    def figures(self, system: System) -> Figures:
        """Return the mode's number on this board; that it is in force has been read back."""
        return {"power_mode_id": float(modes(system)[self._mode])}


def _absent(params: Params, place: Place) -> Optional[str]:
    """Return why the mode cannot be had: only nvpmodel itself knows whether it wants a reboot, so it is switched once."""
    tuned = [entry["op"] for entry in UndoList(place.workdir).entries]
    if tuned:
        return "[board.tuning] sets %s, which a switch of the power mode resets" % ", ".join(tuned)
    reason = not_permitted(PowerMode(), {"power_mode": params["mode"]}, place)
    if reason is not None:
        return reason
    stressor = HeldPowerMode(params, place)
    try:
        stressor.apply()
    except StressError as error:
        reason = str(error)
    try:
        stressor.remove()
    except StressError as error:
        reason = reason or str(error)
    return reason


KIND = Kind(
    {"mode": Key("", free=True, about="name of a power mode in /etc/nvpmodel.conf")}, HeldPowerMode, _absent
)
