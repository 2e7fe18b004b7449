"""SFT that learns only what an edit changed in the policy's own answers, and keeps the rest as it was."""
