"""Migrations of the embedded database: `NNNN_name.sql`, applied once each in order of their number."""
