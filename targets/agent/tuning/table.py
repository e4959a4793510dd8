"""All operations, in the order in which they are made; they are undone in the reverse order."""

from typing import Dict, List

from tunebench.targets.agent.tuning.cpufreq import Frequency, Governor
from tunebench.targets.agent.tuning.jetson import JetsonClocks, PowerMode
from tunebench.targets.agent.tuning.memory import DropCaches
from tunebench.targets.agent.tuning.operation import Operation

#: A power mode resets limits and takes cores off line, so it comes first; jetson_clocks pins what then holds.
OPERATIONS: List[Operation] = [PowerMode(), Governor(), Frequency(), JetsonClocks(), DropCaches()]
BY_NAME: Dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
#: Every key that a request may have.
KEYS = tuple(key for operation in OPERATIONS for key in operation.keys)
