"""What can be known about a run before it starts: what cannot work, and what memory it takes."""
