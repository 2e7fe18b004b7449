"""Reports of runs and trainings as one HTML file: records -> data classes -> figures, plots and a page."""
