"""Modules that plugins written for the published SDK import from."""
