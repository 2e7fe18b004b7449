"""Text files as rows: one prompt on each line, lists, and exports of chats."""
