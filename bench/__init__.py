"""Measurements of Bascule beside its peers, in one run on one machine: docs/bench.md."""
