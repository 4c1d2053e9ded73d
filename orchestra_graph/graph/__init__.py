"""Declaring and compiling graphs."""
