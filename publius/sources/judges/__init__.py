"""Gold labels for judges: preferences, labelled replies and machine checks of replies."""
