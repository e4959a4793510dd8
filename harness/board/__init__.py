"""Hold one board: its link, lease, tuning, environment and meter."""
