"""Give the environment in which a job's workload runs, and become a program of that job."""

import os
from typing import Any, Dict, List, Mapping

from tunebench.targets.agent import workdir
from tunebench.targets.agent.job import state
from tunebench.targets.agent.linux import env_wrapper, processes
from tunebench.targets.agent.workdir import AgentError


def of_job(job: Mapping[str, Any], job_dir: str) -> Dict[str, str]:
    """Return this process's environment with what the job asks for, its folder and the payload."""
    env = dict(os.environ, PYTHONUNBUFFERED="1")
    env.update(job.get("env", {}))
    env[processes.JOB_VARIABLE] = job_dir
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [job["paths"]["payload"], env.get("PYTHONPATH")]))
    return env


def become(job_dir: str, module: str) -> None:
    """Become a module of the payload under the workload's interpreter, on the same standard input and output.

    Only of a job that has ended: nothing runs beside a measurement.

    Raises:
        AgentError: (kind ``job``) there is no such job, or it has not ended; (kind ``interpreter``) it does not start.
    """
    job = workdir.read_json(os.path.join(job_dir, "job.json"))
    if job is None or state.state(job_dir) != "done":
        raise AgentError("job", "job %s has not ended here" % os.path.basename(job_dir))
    env, cwd = of_job(job, job_dir), job["paths"]["out"]
    words = int(job.get("interpreter_words", 1))
    argv: List[str] = processes.expanded(job["argv"][:words]) + ["-m", module]
    argv = env_wrapper.carried(job, argv, env, cwd)
    try:
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise AgentError("interpreter", "%s: %s" % (argv[0], error)) from None
