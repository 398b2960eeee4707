"""The number that says which generation of results this code computes; free of torch."""

from typing import Final

# Raise by hand when the same configuration, seed and data give other numbers than before: finished
# runs are looked up by it, and results of two generations must not be mixed.
NUMERICS_VERSION: Final = 2

# Raise by hand when the stress battery changes (docs/stress.md): what was measured under another
# one is measured again.
BATTERY_VERSION: Final = 2

SMALLEST_STRESSED: Final = 16
"""The smallest image size for a stress score: below it a shift of a tenth is under two pixels."""
