"""Exams of many runs: the folders they leave, what can be concluded from them, and how it is shown."""
