"""Gold labels for judges: preferences, labelled replies (also thumbs), and machine checks of replies."""
