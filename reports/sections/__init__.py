"""The report's sections: a module each, listed in :mod:`tunebench.reports.sections.registry`."""
