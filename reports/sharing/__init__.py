"""Giving results away: copies of runs, anonymised on request, and several labs' results in one root."""
