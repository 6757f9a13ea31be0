"""Outputs -> loss -> step -> checkpoint -> metrics -> bundle."""
