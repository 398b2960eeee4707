"""The database of studies, the run store and where files lie."""
