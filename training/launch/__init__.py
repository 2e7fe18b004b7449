"""Training in several processes: configurations of `publius train --launch`, the launcher and its workers."""
