"""Try on a board the kernels of a quantised base, a form and device once: a skip that is known before it is measured.

The package imports well where it has no kernel for the machine, and ends its process at the first one; that is seen in a
child on the board, not in a repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tunebench.harness.board.link import Link
from tunebench.harness.config.suite import Workload
from tunebench.targets.agent.doctor.trials import EIGHT_BIT, FOUR_BIT
from tunebench.targets.client.replies import Interpreter, TrialEnd
from tunebench.workloads.methods.quantized_base import INT8, NF4, PACKAGE

#: form of a base -> the trial of its kernel
KERNEL_TRIALS: Mapping[str, str] = {NF4: FOUR_BIT, INT8: EIGHT_BIT}
#: a form of a base, and a device
Kernel = tuple[str, str]


def kernel_of(workload: Workload) -> Kernel | None:
    """Return the kernel that a workload's base needs; ``None``: none."""
    form = workload.quantized_base
    return None if form is None else (form, workload.device)


def dead_kernels(link: Link, interpreter: Interpreter, workloads: Iterable[Workload]) -> dict[Kernel, str]:
    """Return why kernels do not run on a board, of those that workloads need and the board could have.

    Args:
        link: to the board; its interpreter tries them.
        interpreter: what the board said of it.
        workloads: any that are planned there.
    """
    if PACKAGE not in (interpreter.packages or ()):
        return {}
    dead: dict[Kernel, str] = {}
    for kernel in dict.fromkeys(filter(None, map(kernel_of, workloads))):
        form, device = kernel
        if device == "cuda" and not interpreter.cuda:
            continue
        for trial in _tried(link, kernel):
            if trial.died_in is not None:
                dead[kernel] = (
                    f"quantized_base {form!r}: {PACKAGE} does not run on {device} here; it dies in {trial.died_in!r}: "
                    f"{trial.reason}"
                )
    return dead


def _tried(link: Link, kernel: Kernel) -> list[TrialEnd]:
    form, device = kernel
    return link.persist(lambda: link.board.trials(link.board.spec.interpreter, [KERNEL_TRIALS[form]], device))
