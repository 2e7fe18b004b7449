"""Human labels: import, export, annotation, selection, agreement, gold questions."""
