"""Run one job: start it detached, supervise and sample it, keep its journal and exit record."""
