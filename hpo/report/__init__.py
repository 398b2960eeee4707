"""Pages that need no network: of a study, and of several compared."""
