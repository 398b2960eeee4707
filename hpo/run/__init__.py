"""Running a study: the plan, the session that drives it, and its forecast."""
