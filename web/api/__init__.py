"""The JSON API of the settings: its resources, their bodies, and the description of both."""
