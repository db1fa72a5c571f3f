"""Stores of maps in object stores: how a map is published there, and its copy on this machine."""
