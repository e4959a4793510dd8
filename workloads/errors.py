"""Errors that a user's input can cause, and that end a workload with one clear line.

::

    WorkloadError (ValueError)
        SpecError           a value of the workload, the data or a user's module is wrong     spec.py
        UnknownMethod       no such row in the table                                          methods.py
        UnsupportedMethod   the method does not apply to the model                            methods.py
        UnknownModel        no such model                                                     models
        UnsupportedModel    the model does not take the data set's inputs                     models
        ArtefactError       a file that is no artefact, or is damaged                         artefact.py
"""


class WorkloadError(ValueError):
    """Base of all; anything else that is raised is a defect, ours or in a user's own module."""
