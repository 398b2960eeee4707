"""What the database holds of a study, as records, and who may write it."""
