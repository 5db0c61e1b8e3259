"""What the command line does besides running: look, tell, forget. The daemon knows nothing of it."""
