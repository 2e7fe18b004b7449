"""Reading of runs and trainings: record files and logs -> data classes with named figures."""
