"""What a lab's results tell over time: an index over the files, series of nights, segments, decisions.

The results directories are the truth (:mod:`tunebench.reports.results`); the index is a cache that may be deleted at any
time. A *night* is one run; a *series* is what :attr:`tunebench.reports.records.Repetition.series_key` holds together; a
*segment* is the stretch of nights of a series that may be compared with one another.
"""
