"""Screens: which panels stand where, and what their keys do."""
