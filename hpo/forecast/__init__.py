"""What a plan would cost: trainings, time and memory, from a few timed steps on this device."""

from hpo.forecast.plan_cost import Forecast, forecast

__all__ = ["Forecast", "forecast"]
