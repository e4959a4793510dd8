"""Look at a run while it is measured, from its folder alone: no board and no process is asked."""
