"""Bascule: Docker's networks without Docker."""
