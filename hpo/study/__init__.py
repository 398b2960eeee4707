"""What the database holds of a study, as records: its request, its goal, and its summary."""
