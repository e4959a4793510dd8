"""Put a run into the tools that a team has: one module a format, listed in :mod:`tunebench.reports.exports.registry`."""
