"""Runs of the project on the page: started as processes, watched, stopped, resumed and compared."""
