"""The engine under one seeded scheduler with a virtual clock; see docs/simulation.md."""
