"""The pages of a study and of a comparison; they need no network."""
