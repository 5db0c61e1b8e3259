"""The settings page: what a dispatcher sees and does, as plain HTML and forms that work without JavaScript."""
